import { randomBytes } from 'node:crypto';
import { type Bus, connectBus, createSigner, type Signer } from '@remit/bus';
import {
  beatShard,
  makeCloudEvent,
  type RevocationBeat,
  type RevocationEntry,
  SIGNED,
  type SignedType,
  subjects,
} from '@remit/contracts';
import type { TestInfra } from '@remit/testkit';

/** A revocation service in the test's hands, with its real key on the real bus. Beats when told to. */
export async function feedService(
  infra: TestInfra,
  signer: Signer = createSigner(infra.signer('revocation-bus')),
) {
  const bus: Bus = await connectBus({
    url: infra.natsUrl,
    name: 'revocation',
    ...infra.creds('revocation'),
  });
  const tag = 'tag-acme';
  const state = {
    epoch: 'epoch-01',
    term: 1,
    n: 0,
    entries: [] as RevocationEntry[],
    asked: [] as string[],
    /** Runs inside an answer. */
    during: async (_method: string) => {},
    /** The log has lost its rows: the head is there, what lies before it isn't. */
    withheld: false,
    headNonce: (nonce: string) => nonce,
  };
  const seq = () => state.entries.length;
  const note = async (method: string) => {
    state.asked.push(method);
    await state.during(method);
  };
  bus.serve(
    'revocation',
    {
      head: async (_, { nonce }) => {
        await note('head');
        const { epoch, term } = state;
        return { nonce: state.headNonce(nonce), epoch, seq: seq(), term, time: Date.now(), tag };
      },
      since: async (_, { after }) => {
        await note('since');
        const entries = state.withheld ? [] : state.entries.slice(after, after + 2);
        const more = after + 2 < seq();
        return { epoch: state.epoch, head: seq(), entries, more };
      },
      snapshot: async (_, { nonce }) => {
        await note('snapshot');
        return { nonce, epoch: state.epoch, seq: seq(), tag, entries: [...state.entries] };
      },
    },
    { signer },
  );
  await bus.flush();

  const beatOf = (over: Partial<RevocationBeat> = {}): RevocationBeat => ({
    shard: beatShard('acme'),
    epoch: state.epoch,
    term: state.term,
    n: ++state.n,
    time: Date.now(),
    heads: { [tag]: seq() },
    ...over,
  });
  const eventOf = (data: RevocationEntry, subject = 'acme') =>
    makeCloudEvent(
      'revocation.revoked',
      { id: newId(), source: 'urn:remit:revocation', time: new Date().toISOString(), subject },
      data,
    );
  const send = async (subject: string, text: string) => {
    bus.publish(subject, text);
    await bus.flush();
  };
  const eventSubject = subjects.revocation('acme');
  const beatSubject = subjects.revocationBeat(beatShard('acme'));
  let beating: NodeJS.Timeout | undefined;
  const service = {
    bus,
    signer,
    state,
    seq,
    beatOf,
    eventOf,
    eventSubject,
    beatSubject,
    /** Publishes bytes as they are, with the rights of the revocation service. */
    send,
    sign: (typ: SignedType, payload: unknown) => signer.sign(typ, JSON.stringify(payload)),
    beat: (over?: Partial<RevocationBeat>) =>
      send(beatSubject, service.sign(SIGNED.beat, beatOf(over))),
    startBeating: () => {
      beating ??= setInterval(() => void service.beat().catch(() => {}), 50);
    },
    stopBeating: () => {
      clearInterval(beating);
      beating = undefined;
    },
    /** Commits an entry; `lost`: it is not sent. */
    revoke: async (task: string, { lost = false } = {}) => {
      const entry: RevocationEntry = {
        epoch: state.epoch,
        seq: seq() + 1,
        verb: 'revoke',
        kind: 'task',
        id: task,
        at: Date.now(),
        ends: Math.floor(Date.now() / 1_000) + 900,
      };
      state.entries.push(entry);
      const signed = service.sign(SIGNED.revocation, eventOf(entry));
      if (!lost) await send(eventSubject, signed);
      return { entry, signed };
    },
    [Symbol.asyncDispose]: async () => {
      service.stopBeating();
      await bus.close();
    },
  };
  return service;
}

export const newId = () => randomBytes(16).toString('base64url');
