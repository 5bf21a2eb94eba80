import {
  beatShard,
  conform,
  type RevocationBeat,
  revocationBeat,
  revocationEvent,
  SIGNED,
  subjects,
} from '@remit/contracts';
import { createRevocationView, type RevocationView } from '@remit/revocation-view';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRig, newId, type Rig, subjectsOf, TENANT, until } from './test/rig.ts';

let rig: Rig;
let view: RevocationView;
const beats: RevocationBeat[] = [];
const events: string[] = [];
const now = () => performance.now();

beforeAll(async () => {
  rig = await createRig();
  view = createRevocationView({ tenant: TENANT, maxStaleMs: 1_200 });
  const json = (typ: Parameters<typeof rig.verifier.verify>[0], bytes: Uint8Array): unknown =>
    JSON.parse(Buffer.from(rig.verifier.verify(typ, bytes)).toString());
  rig.pep.subscribe(subjects.revocation(TENANT), (_, bytes) => {
    const event = conform(revocationEvent, json(SIGNED.revocation, bytes));
    events.push(`${event.type} ${event.data.kind} ${event.data.id}`);
    view.applyEvent(event, now());
  });
  rig.pep.subscribe(subjects.revocationBeat(beatShard(TENANT)), (_, bytes) => {
    const beat = conform(revocationBeat, json(SIGNED.beat, bytes));
    beats.push(beat);
    view.applyBeat(beat, now());
  });
  await rig.ready();
});
afterAll(() => rig?.[Symbol.asyncDispose]());

/** Does what the view asks for, as a PEP does. */
async function follow(): Promise<void> {
  const need = view.needs(now());
  const { verifier, pep } = rig;
  if (need?.want === 'head') {
    const sentAt = now();
    const answer = await pep.call('revocation.head', TENANT, { nonce: newId() }, { verifier });
    view.applyHead(answer, sentAt, now());
  } else if (need?.want === 'since') {
    const { epoch, after } = need;
    view.applySince(await pep.call('revocation.since', TENANT, { epoch, after }, { verifier }));
  } else if (need?.want === 'snapshot') {
    const nonce = newId();
    view.applySnapshot([await pep.call('revocation.snapshot', TENANT, { nonce }, { verifier })]);
  }
}

const fresh = () =>
  until(async () => {
    await follow();
    expect(view.fresh(now())).toBe(true);
  });

describe('the feed', () => {
  it('makes a view fresh, and kills within moments what is revoked', async () => {
    await fresh();
    const { epoch, seq } = await rig.head();
    const token = subjectsOf({ epoch, seq });
    await until(() => expect(view.check(token, now())).toEqual({ verdict: 'live' }));
    const answer = await rig.revoke('task', token.task);
    const acknowledged = now();
    await until(() => expect(view.check(token, now())).toMatchObject({ reason: 'task_revoked' }));
    expect(now() - acknowledged).toBeLessThan(1_000);
    expect(events.at(-1)).toBe(`dev.remit.revocation.revoked.v1 task ${token.task}`);
    await fresh();
    expect(view.rev()).toEqual({ epoch: answer.epoch, seq: answer.seq });
  });

  it('beats four times a second with one term, rising numbers and the head', async () => {
    const from = beats.length;
    await until(() => expect(beats.length).toBeGreaterThan(from + 4));
    const some = beats.slice(from);
    expect(new Set(some.map(({ term }) => term)).size).toBe(1);
    for (const [at, beat] of some.entries()) {
      expect(beat.n).toBe((some[0] as RevocationBeat).n + at);
      expect(beat.time).toBeGreaterThanOrEqual((some[Math.max(0, at - 1)] as RevocationBeat).time);
    }
    const { tag, seq } = await rig.head();
    await until(() => expect(beats.at(-1)?.heads[tag]).toBe(seq));
    expect(tag).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect((await rig.head('globex')).tag).not.toBe(tag);
  });

  it('gives in `since` and in pages of a snapshot what a new view needs', async () => {
    const ids = Array.from({ length: 30 }, () => newId());
    for (const id of ids) await rig.revoke('token', id);
    const second = createRevocationView({ tenant: TENANT });
    const { verifier } = rig;
    const sentAt = now();
    second.applyHead(await rig.head(), sentAt, now());
    const nonce = newId();
    second.applySnapshot([
      await rig.pep.call('revocation.snapshot', TENANT, { nonce }, { verifier }),
    ]);
    const { epoch, seq } = await rig.head();
    for (const jti of ids) {
      expect(second.check(subjectsOf({ epoch, seq }, { jti }), now())).toMatchObject({
        reason: 'token_revoked',
      });
    }
    for (const cursor of ['x', '1', '1.2', `${seq + 1}.0`, '-1.0']) {
      await expect(
        rig.pep.call('revocation.snapshot', TENANT, { nonce, cursor }, { verifier }),
      ).rejects.toMatchObject({ details: { code: 'INVALID_REQUEST' } });
    }
  });
});

describe('changes of the registry', () => {
  it.each([
    ['user', 'carol', 'deactivated', 'user'],
    ['agent', 'risk-analyst', 'removed', 'agent'],
    ['client', 'console', 'deactivated', 'client'],
  ] as const)('revoke a %s %s that is %s', async (entity, id, change, kind) => {
    await fresh();
    const { epoch, seq } = await rig.head();
    const token = subjectsOf(
      { epoch, seq },
      { [kind === 'agent' ? 'actors' : kind]: kind === 'agent' ? [id] : id },
    );
    await rig.sources.change({ entity, id, change });
    await until(() =>
      expect(view.check(token, now())).toMatchObject({ verdict: 'revoked', kind, id }),
    );
  });

  it.each(['role', 'tool', 'task-type', 'agent', 'user', 'tenant'] as const)(
    'of a %s make PEPs ask the PDP about what was decided before',
    async (entity) => {
      await fresh();
      const { epoch, seq } = await rig.head();
      const token = subjectsOf({ epoch, seq }, { user: newId() });
      await until(() => expect(view.check(token, now())).toEqual({ verdict: 'live' }));
      await rig.sources.change({ entity, id: 'x', change: 'changed' });
      await until(() => expect(view.check(token, now())).toMatchObject({ verdict: 'recheck' }));
      const later = await rig.head();
      const decidedAfter = { ...token, rev: { epoch, seq: later.seq } };
      await until(() => expect(view.check(decidedAfter, now())).toEqual({ verdict: 'live' }));
    },
  );

  it('take nothing away when something is new', async () => {
    const before = (await rig.head()).seq;
    await rig.sources.change({ entity: 'user', id: 'frank', change: 'created' });
    await rig.sources.change({ entity: 'role', id: 'r', change: 'changed' });
    await until(async () => expect((await rig.head()).seq).toBe(before + 1));
  });

  it('of policies make PEPs ask too', async () => {
    const before = (await rig.head()).seq;
    await rig.sources.activate();
    await until(async () => expect((await rig.head()).seq).toBe(before + 1));
    expect(events.at(-1)).toBe('dev.remit.revocation.recheck.v1 tenant acme');
  });

  it('count once, however often and in whatever order they are delivered', async () => {
    const before = (await rig.head()).seq;
    const first = rig.sources.head.registry + 1;
    const leave = { entity: 'user', change: 'deactivated' } as const;
    for (const seq of [first, first, first + 2, first + 2, first + 1, first, first + 2]) {
      await rig.sources.change({ ...leave, id: `grace-${seq}` }, { seq });
    }
    await rig.sources.change({ entity: 'role', id: 'r', change: 'changed' });
    await until(async () => expect((await rig.head()).seq).toBe(before + 4));
    const { epoch } = await rig.head();
    const asked = { epoch, after: before };
    const { entries } = await rig.pep.call('revocation.since', TENANT, asked, {
      verifier: rig.verifier,
    });
    expect(entries.map(({ verb }) => verb)).toEqual(['revoke', 'revoke', 'revoke', 'recheck']);
    await rig.ready();
  });

  it('signed for another tenant or by another key are not believed', async () => {
    const before = (await rig.head()).seq;
    const registry = rig.sources.buses.registry;
    const forged = rig.sources.signers.pdp.sign(SIGNED.registry, '{}');
    await registry.publishRecord(subjects.registry(TENANT, 'user'), forged, newId());
    const foreign = await rig.sources.change(
      { entity: 'user', id: 'alice', change: 'created' },
      { tenant: 'globex' },
    );
    await registry.publishRecord(subjects.registry(TENANT, 'user'), foreign, newId());
    await until(async () => {
      const { body } = await rig.app.http.inject('/metrics');
      expect(body).toContain('remit_revocation_quarantined_total{source="registry"} 2');
    });
    expect((await rig.head()).seq).toBe(before);
  });
});

describe('what feeds the feed', () => {
  it.each(['registry', 'pdp'] as const)(
    'stops the beats when the %s is not heard, by name, and starts them again',
    async (source) => {
      await fresh();
      rig.sources.mute(source);
      await until(async () => {
        const answer = await rig.app.http.inject('/readyz');
        expect(answer.statusCode).toBe(503);
        expect(answer.json().checks[`feed_of_${source}`].reason).toBe(
          `the ${source} has not been heard for a second`,
        );
      });
      const silent = beats.length;
      await until(() => expect(view.fresh(now())).toBe(false));
      expect(beats.length).toBe(silent);
      // A beat that is not the source's own doesn't count for it.
      const other = source === 'registry' ? 'pdp' : 'registry';
      rig.sources.buses[source].publish(
        rig.sources.beatSubject[source],
        rig.sources.signers[other].sign(
          SIGNED.beat,
          JSON.stringify({ source, boot: 'b', n: 1, time: Date.now(), head: 0 }),
        ),
      );
      await rig.sources.buses[source].flush();
      expect((await rig.app.http.inject('/readyz')).statusCode).toBe(503);
      rig.sources.unmute(source);
      await fresh();
      await rig.ready();
    },
  );

  it('skips events that are lost, and has everything before them checked again', async () => {
    await fresh();
    const { epoch, seq } = await rig.head();
    const token = subjectsOf({ epoch, seq }, { user: newId() });
    await rig.sources.change({ entity: 'user', id: 'x', change: 'deactivated' }, { lost: true });
    await until(
      () => expect(view.check(token, now())).toMatchObject({ verdict: 'recheck' }),
      14_000,
    );
    await until(fresh);
  }, 20_000);

  // Red when a source's position never goes back: the disabled user's event is taken for an old one.
  it('follows a registry that was put back, whose next events have numbers of before', async () => {
    await fresh();
    const { epoch, seq } = await rig.head();
    const token = subjectsOf({ epoch, seq }, { user: newId() });
    rig.sources.head.registry -= 2;
    await until(
      () => expect(view.check(token, now())).toMatchObject({ verdict: 'recheck' }),
      14_000,
    );
    await until(fresh);
    const user = newId();
    const head = await rig.head();
    const next = subjectsOf({ epoch, seq: head.seq }, { user });
    await until(() => expect(view.check(next, now())).toEqual({ verdict: 'live' }));
    await rig.sources.change({ entity: 'user', id: user, change: 'deactivated' });
    await until(() => expect(view.check(next, now())).toMatchObject({ reason: 'user_revoked' }));
  }, 30_000);
});
