import { connectBus, createVerifier } from '@remit/bus';
import type { TokenSubjects } from '@remit/contracts';
import { createRevocationView } from '@remit/revocation-view';
import { followFeed } from '../../../packages/pep/src/feed.ts';
import type { FromFleet, ToFleet } from './messages.ts';

/** Several PEPs' connections, feeds and views in one process, as far as revocations go. */
const monotonicMs = (): number => performance.now();
/** CLOCK_MONOTONIC, which the measuring process reads too. */
const nowUs = (): number => Number(process.hrtime.bigint() / 1_000n);
const say = (message: FromFleet): void => void process.send?.(message);

let subject: TokenSubjects | undefined;
let mark = 0;
const pending = new Set<number>();

/** One PEP has come as far as what is waited for; the last one is told of. */
function arrived(pep: number): void {
  if (!pending.delete(pep) || pending.size > 0) return;
  say({ did: 'arrived', mark, atUs: nowUs() });
}

async function join({ natsUrl, tenant, peps, revocationKeys }: Extract<ToFleet, { do: 'join' }>) {
  const verifier = createVerifier(revocationKeys);
  const members = await inTens(peps, async ({ user, seed }, index) => {
    const bus = await connectBus({ url: natsUrl, user, seed, name: user, firstConnectMs: 60_000 });
    const view = createRevocationView({ tenant });
    const revoked = (): boolean =>
      subject !== undefined && view.check(subject, monotonicMs()).verdict === 'revoked';
    const looked = <T>(applied: T): T => {
      if (pending.has(index) && revoked()) arrived(index);
      return applied;
    };
    const feed = followFeed({
      // What begins with a zero byte is the bare message that the feed is compared with.
      bus: {
        ...bus,
        subscribe: (name, listener) =>
          bus.subscribe(name, (on, bytes) => {
            if (bytes[0] === 0) arrived(index);
            else listener(on, bytes);
          }),
      },
      verifier,
      tenant,
      monotonicMs,
      view: {
        ...view,
        applyEvent: (event, atMs) => looked(view.applyEvent(event, atMs)),
        // Who was cut off for being slow gets it so.
        applySince: (answer) => looked(view.applySince(answer)),
        applySnapshot: (pages) => looked(view.applySnapshot(pages)),
      },
    });
    await feed.ready(60_000);
    return { bus, view, feed };
  });
  return members;
}

let members: Awaited<ReturnType<typeof join>> = [];

/** Looks every millisecond, since nobody says when a connection or a view is whole again. */
async function each(holds: (member: (typeof members)[0]) => boolean): Promise<number[]> {
  const at = members.map(() => 0);
  while (at.includes(0)) {
    for (const [index, member] of members.entries()) {
      if (at[index] === 0 && holds(member)) at[index] = nowUs();
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return at;
}

process.on('message', (message: ToFleet) => {
  void (async () => {
    switch (message.do) {
      case 'join':
        members = await join(message);
        return say({ did: 'joined' });
      case 'expect':
        subject = message.subject;
        mark = message.mark;
        for (const index of members.keys()) pending.add(index);
        return say({ did: 'expecting', mark });
      case 'when-connected':
        return say({ did: 'each', atUs: await each(({ bus }) => bus.status() === 'connected') });
      case 'when-fresh': {
        const { seq } = message;
        const whole = ({ view }: (typeof members)[0]) =>
          view.fresh(monotonicMs()) && (view.rev()?.seq ?? -1) >= seq;
        return say({ did: 'each', atUs: await each(whole) });
      }
      case 'when-lost':
        await each(({ bus, view }) => bus.status() !== 'connected' && !view.fresh(monotonicMs()));
        return say({ did: 'each', atUs: [] });
    }
  })();
});
process.on('disconnect', () => process.exit(0));

async function inTens<T, R>(list: readonly T[], work: (item: T, index: number) => Promise<R>) {
  const done: R[] = [];
  for (let at = 0; at < list.length; at += 10) {
    done.push(...(await Promise.all(list.slice(at, at + 10).map((one, n) => work(one, at + n)))));
  }
  return done;
}
