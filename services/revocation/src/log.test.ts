import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRig, newId, type Rig, subjectsOf, TENANT } from './test/rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await createRig();
});
afterAll(() => rig?.[Symbol.asyncDispose]());

describe('the log of a tenant', () => {
  it('gives each revocation the next sequence, without gaps under concurrency', async () => {
    const before = (await rig.head()).seq;
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) => rig.revoke('agent', `agent-${n % 3}`)),
    );
    const seqs = answers.map(({ seq }) => seq).toSorted((a, b) => a - b);
    expect(seqs).toEqual(Array.from({ length: 40 }, (_, n) => before + 1 + n));
    expect((await rig.head()).seq).toBe(before + 40);
    const { entries, head, more } = await rig.pep.call(
      'revocation.since',
      TENANT,
      { epoch: answers[0]?.epoch ?? '', after: before },
      { verifier: rig.verifier },
    );
    expect({ head, more }).toEqual({ head: before + 40, more: false });
    expect(entries.map(({ seq }) => seq)).toEqual(seqs);
  });

  it('keeps tenants apart', async () => {
    const before = (await rig.head('globex')).seq;
    await rig.revoke('user', 'alice');
    expect((await rig.head('globex')).seq).toBe(before);
  });

  it('writes a token that is revoked twice only once', async () => {
    const id = newId();
    const first = await rig.revoke('token', id);
    const second = await rig.revoke('token', id);
    expect(second.seq).toBe(first.seq);
  });
});

describe('a check before a decision', () => {
  it('answers with the head and nothing when nothing is revoked', async () => {
    const head = await rig.head();
    const rev = { epoch: head.epoch, seq: head.seq };
    expect(await rig.check([subjectsOf(rev, { user: newId() })])).toEqual({ head: rev });
  });

  it.each([
    ['token', (id: string) => ({ jti: id }), false],
    ['token', (id: string) => ({ lineage: [newId(), id] }), true],
    ['link', (id: string) => ({ lineage: [id] }), true],
    ['task', (id: string) => ({ task: id }), false],
    ['key', (id: string) => ({ keys: ['x', id] }), false],
    ['agent', (id: string) => ({ actors: ['other', id] }), false],
    ['user', (id: string) => ({ user: id }), false],
    ['client', (id: string) => ({ client: id }), false],
  ] as const)('names a revoked %s', async (kind, subjects, ancestor) => {
    const id = newId();
    const { epoch, seq } = await rig.head();
    const token = subjectsOf({ epoch, seq }, subjects(id));
    expect((await rig.check([token])).revoked).toBeUndefined();
    const revoked = await rig.revoke(kind, id);
    const answer = await rig.check([token]);
    expect(answer.revoked).toEqual({ kind, id, ancestor });
    expect(answer.head.seq).toBe(revoked.seq);
    // What is decided after a revocation of an agent, user or client lives; the rest is for ever.
    const later = { ...token, rev: { epoch, seq: revoked.seq } };
    const wide = ['agent', 'user', 'client'].includes(kind);
    expect((await rig.check([later])).revoked === undefined).toBe(wide);
  });

  it('refuses tasks and keys by themselves', async () => {
    const task = `task_${newId()}`;
    const key = newId();
    expect((await rig.check([], { tasks: [task], keys: [key] })).revoked).toBeUndefined();
    await rig.revoke('key', key);
    expect((await rig.check([], { tasks: [task], keys: [key] })).revoked).toMatchObject({
      kind: 'key',
    });
    await rig.revoke('task', task);
    expect((await rig.check([], { tasks: [task] })).revoked).toMatchObject({ kind: 'task' });
  });

  it('refuses a token of another epoch and one ahead of the log', async () => {
    const { epoch, seq } = await rig.head();
    for (const rev of [
      { epoch: 'anotherE', seq: 0 },
      { epoch, seq: seq + 1 },
    ]) {
      const user = newId();
      expect((await rig.check([subjectsOf(rev, { user })])).revoked).toEqual({
        kind: 'tenant',
        id: TENANT,
        ancestor: false,
      });
    }
  });
});

describe('a registration', () => {
  it('gives one index per token, the same when asked again', async () => {
    const { epoch, seq } = await rig.head();
    const token = subjectsOf({ epoch, seq });
    const exp = Math.floor(Date.now() / 1_000) + 300;
    const first = await rig.register(token, exp);
    expect(first.uri).toMatch(/^http:\/\/revocation\.test\/t\/acme\/status\/\d{8,9}$/);
    expect(await rig.register(token, exp)).toEqual(first);
    await expect(rig.register({ ...token, user: 'mallory' }, exp)).rejects.toMatchObject({
      code: 'CALL_REFUSED',
      details: { code: 'CONFLICT' },
    });
  });

  it('is refused for a life over fifteen minutes, another epoch and a sequence to come', async () => {
    const { epoch, seq } = await rig.head();
    const now = Math.floor(Date.now() / 1_000);
    const refused = { code: 'CALL_REFUSED', details: { code: 'CONFLICT' } };
    const token = subjectsOf({ epoch, seq });
    await expect(rig.register(token, now + 1_000)).rejects.toMatchObject(refused);
    await expect(rig.register(token, now - 120)).rejects.toMatchObject(refused);
    await expect(rig.register({ ...token, rev: { epoch: 'anotherE', seq } })).rejects.toMatchObject(
      refused,
    );
    await expect(rig.register({ ...token, rev: { epoch, seq: seq + 1 } })).rejects.toMatchObject(
      refused,
    );
    // Nothing of it was kept: the same id is free.
    expect((await rig.register(token)).idx).toBeGreaterThanOrEqual(0);
  });
});

describe('a revocation', () => {
  it('of another tenant is refused and changes nothing', async () => {
    const before = await rig.head();
    await expect(rig.revoke('tenant', 'globex')).rejects.toMatchObject({
      code: 'CALL_REFUSED',
      details: { code: 'INVALID_REQUEST' },
    });
    expect((await rig.head()).seq).toBe(before.seq);
  });

  it('cannot be asked for by a PEP', async () => {
    const before = await rig.head();
    const by = { kind: 'service', id: 'issuer' } as const;
    await expect(
      rig.pep.call(
        'revocation.revoke',
        TENANT,
        { kind: 'user', id: 'alice', by },
        { verifier: rig.verifier },
      ),
    ).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    expect((await rig.head()).seq).toBe(before.seq);
  });
});
