import {
  beatShard,
  conform,
  type RevocationKind,
  revocationBeat,
  SIGNED,
  subjects,
  type TokenSubjects,
} from '@remit/contracts';
import { createRevocationView, type RevocationView } from '@remit/revocation-view';
import { createDatabase, createLogger } from '@remit/service-kit';
import { StatusList } from '@sd-jwt/jwt-status-list';
import { decodeJwt } from 'jose';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tables } from './store/tables.ts';
import { createRig, newId, type Rig, subjectsOf, TENANT, until } from './test/rig.ts';

// The issuer's steps and a revocation's, in every order that there is, on the real service and its
// PostgreSQL. Red when a wide revocation compares `<=` in the view, when `check` forgets what is for
// ever, or when a list leaves out what was registered late. Steps at the same time are in races.test.ts.

let rig: Rig;
let view: RevocationView;
const now = () => performance.now();
beforeAll(async () => {
  rig = await createRig({ statusListBits: 4_096 });
  view = createRevocationView({ tenant: TENANT });
  const { pep, verifier } = rig;
  // Beats as they come. Events only when a test delivers them.
  pep.subscribe(subjects.revocationBeat(beatShard(TENANT)), (_, bytes) => {
    const json = JSON.parse(Buffer.from(verifier.verify(SIGNED.beat, bytes)).toString());
    view.applyBeat(conform(revocationBeat, json), now());
  });
  await rig.ready();
});
afterAll(() => rig?.[Symbol.asyncDispose]());

async function tie(): Promise<void> {
  const sentAt = now();
  view.applyHead(await rig.head(), sentAt, now());
}
/** Everything that was committed, as a PEP fetches it. */
async function deliver(): Promise<void> {
  if (view.rev() === undefined) await tie();
  const { epoch, seq: after } = view.rev() ?? { epoch: (await rig.head()).epoch, seq: 0 };
  const { verifier } = rig;
  view.applySince(await rig.pep.call('revocation.since', TENANT, { epoch, after }, { verifier }));
}
async function fresh(): Promise<void> {
  await until(async () => {
    await deliver();
    expect(view.fresh(now())).toBe(true);
  });
}

const ISSUER = ['check', 'register', 'verify'] as const;
const REVOKER = ['revoke', 'deliver'] as const;
type Step = (typeof ISSUER)[number] | (typeof REVOKER)[number];

/** Every merge of two sequences that keeps the order of each. */
function merges(a: readonly Step[], b: readonly Step[]): Step[][] {
  const [first, ...restA] = a;
  const [second, ...restB] = b;
  if (first === undefined) return [[...b]];
  if (second === undefined) return [[...a]];
  return [
    ...merges(restA, b).map((rest) => [first, ...rest]),
    ...merges(a, restB).map((rest) => [second, ...rest]),
  ];
}
const ORDERS = merges(ISSUER, REVOKER);
const KINDS = ['link', 'task', 'key', 'agent', 'user', 'client', 'tenant'] as const;
const FOR_EVER: ReadonlySet<RevocationKind> = new Set(['link', 'task', 'key']);

async function statusOf({ uri, idx }: { uri: string; idx: number }): Promise<number | undefined> {
  const { body } = await rig.app.http.inject(new URL(uri).pathname);
  const { lst } = decodeJwt(body)['status_list'] as { lst: string };
  return StatusList.decompressStatusList(lst, 1).statusList[idx];
}

describe('a revocation between the steps of an issuance', () => {
  it('comes in ten orders', () => {
    expect(new Set(ORDERS.map((order) => order.join())).size).toBe(10);
  });

  it.each(KINDS)('of a %s kills what was decided before it and nothing else', async (kind) => {
    for (const order of ORDERS) {
      await fresh();
      const said = `${kind}: ${order.join(' ')}`;
      const id = { link: newId(), task: `task_${newId()}`, key: newId(), tenant: TENANT };
      const name = newId();
      const draft = subjectsOf(
        { epoch: '', seq: 0 },
        {
          lineage: [id.link],
          task: id.task,
          keys: [id.key],
          actors: [name],
          user: name,
          client: name,
        },
      );
      const named = kind in id ? id[kind as keyof typeof id] : name;
      let token: TokenSubjects | undefined;
      let refusedAtCheck = false;
      let revokedAt: number | undefined;
      let delivered = false;
      let place: { uri: string; idx: number } | undefined;
      const decidedBefore = () => revokedAt !== undefined && (token?.rev.seq ?? 0) < revokedAt;
      const steps: Record<Step, () => Promise<void>> = {
        check: async () => {
          const parent = { ...draft, jti: id.link, lineage: [], rev: await rig.head() };
          const { epoch, seq } = parent.rev;
          const { head, revoked } = await rig.check([{ ...parent, rev: { epoch, seq } }], {
            tasks: [draft.task],
            keys: draft.keys,
          });
          refusedAtCheck = revoked !== undefined;
          token = { ...draft, rev: head };
        },
        register: async () => {
          if (!refusedAtCheck && token) place = await rig.register(token);
        },
        verify: async () => {
          if (refusedAtCheck || !token) return;
          const found = view.check(token, now());
          if (found.verdict === 'live') {
            // Only what the view can't have heard of yet, or what was decided after it.
            expect(delivered && decidedBefore(), said).toBe(false);
          } else if (found.verdict === 'revoked') {
            expect(decidedBefore(), said).toBe(true);
          } else {
            // Stale or behind: after a moment of following it is one of the two.
            expect(['stale', 'behind'], said).toContain(found.verdict);
          }
        },
        revoke: async () => {
          revokedAt = (await rig.revoke(kind, named)).seq;
        },
        deliver: async () => {
          await deliver();
          delivered = true;
        },
      };
      for (const step of order) await steps[step]();

      const checkedAfter = order.indexOf('revoke') < order.indexOf('check');
      expect(refusedAtCheck, said).toBe(checkedAfter && FOR_EVER.has(kind));
      if (refusedAtCheck || !token || !place) continue;
      await fresh();
      await until(() => expect(view.fresh(now())).toBe(true));
      const { verdict } = view.check(token, now());
      expect(verdict, said).toBe(checkedAfter ? 'live' : 'revoked');
      expect(await statusOf(place), said).toBe(checkedAfter ? 0 : 1);
    }
  });
});

describe('an agent with 100,000 live tokens', () => {
  it('is revoked by one entry and one event, and every one of them is dead', async () => {
    const agent = newId();
    await fresh();
    const { epoch, seq } = await rig.head();
    const log = createLogger({ service: 'test', instance: 't', level: 'fatal' });
    const url = rig.infra.databaseUrl('revocation');
    await using cleanup = new AsyncDisposableStack();
    const database = await createDatabase<Tables>({
      url,
      schema: 'revocation',
      log,
      insecure: true,
    });
    cleanup.defer(() => database.close());
    // As so many registrations leave it, in a list of their own.
    await database.withTenant(TENANT, async (trx) => {
      await sql`insert into status_list (tenant, list, size, closed, late, bits, epoch)
        values (${TENANT}, 900000000, 131072, true, 0, ${Buffer.alloc(131_072 / 8)}, ${epoch})`.execute(
        trx,
      );
      await sql`insert into registration (tenant, jti, lineage, rev_epoch, rev_seq, task, actors,
          user_id, client, keys, exp, list, idx)
        select ${TENANT}, 'many-' || n, '{}', ${epoch}, ${seq}, 'task_' || n, array[${agent}],
          'user-' || n % 100, 'client', '{}', extract(epoch from clock_timestamp())::bigint + 800,
          900000000, n from generate_series(0, 99999) as n`.execute(trx);
    });
    const events: string[] = [];
    rig.pep.subscribe(subjects.revocation(TENANT), (_, bytes) => {
      events.push(Buffer.from(rig.verifier.verify(SIGNED.revocation, bytes)).toString());
    });
    await rig.pep.flush();
    const answer = await rig.revoke('agent', agent);
    expect(answer.seq).toBe(seq + 1);
    await until(() => expect(events).toHaveLength(1));
    expect(events[0]?.length).toBeLessThan(1_000);
    await fresh();
    expect(view.rev()?.seq).toBe(seq + 1);
    for (const n of [0, 1, 50_000, 99_999]) {
      const token = subjectsOf({ epoch, seq }, { jti: `many-${n}`, actors: ['other', agent] });
      expect(view.check(token, now())).toMatchObject({ verdict: 'revoked', kind: 'agent' });
    }
    const { body } = await rig.app.http.inject(`/t/${TENANT}/status/900000000`);
    const { lst } = decodeJwt(body)['status_list'] as { lst: string };
    const { statusList } = StatusList.decompressStatusList(lst, 1);
    expect(statusList.reduce((sum, status) => sum + status, 0)).toBe(100_000);
  });
});
