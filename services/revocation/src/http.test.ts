import { type AuditRecord, auditMessage, cloudEvent, conform } from '@remit/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRig, newId, type Rig, subjectsOf, TENANT, until } from './test/rig.ts';

let rig: Rig;
const records: AuditRecord[] = [];
const message = cloudEvent(auditMessage);

beforeAll(async () => {
  rig = await createRig();
  rig.audit.consume({ stream: 'AUDIT', durable: 'ingest', consumer: {} }, async (batch) => {
    for (const { data } of batch) {
      records.push(conform(message, JSON.parse(Buffer.from(data).toString())).data.record);
    }
  });
});
afterAll(() => rig?.[Symbol.asyncDispose]());

async function post(who: string | null, body: unknown, over: Record<string, unknown> = {}) {
  const token = who === null ? undefined : await rig.people.token(who, over);
  return rig.app.http.inject({
    method: 'POST',
    url: `/t/${TENANT}/revoke`,
    headers: {
      'content-type': 'application/json',
      ...(token ? { authorization: `Bearer ${token}` } : {}),
    },
    payload: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

const isRevoked = async (token: ReturnType<typeof subjectsOf>): Promise<boolean> =>
  (await rig.check([token])).revoked !== undefined;

async function taskOf(user: string) {
  const { epoch, seq } = await rig.head();
  const token = subjectsOf({ epoch, seq }, { user });
  await rig.register(token);
  return token;
}

describe('revoking as a person', () => {
  it('lets an administrator revoke anything of the tenant, and the record says who', async () => {
    const token = await taskOf('alice');
    const answer = await post('dora', { kind: 'task', id: token.task, reason: 'phishing' });
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toEqual({
      epoch: token.rev.epoch,
      seq: token.rev.seq + 1,
      time: expect.any(Number),
    });
    expect(await isRevoked(token)).toBe(true);
    await until(() => {
      const record = records.find(({ operation }) => operation?.resource.endsWith(token.task));
      expect(record).toMatchObject({
        tenant: TENANT,
        event: 'token.revoked',
        decision: 'allow',
        reason: 'task_revoked',
        operation: { action: 'revocation.revoke', resource: `remit/task/${token.task}` },
        feed: { epoch: token.rev.epoch, seq: token.rev.seq + 1 },
        detail: { kind: 'task', by: 'user' },
      });
      // Personal: committed to, not written down.
      expect(record?.principal).toEqual({ c: expect.stringMatching(/^[\w-]{43}$/) });
      expect(JSON.stringify(record)).not.toContain('dora');
    });
  });

  it('does not write the id of a revoked person into the record', async () => {
    expect((await post('dora', { kind: 'user', id: 'heidi' })).statusCode).toBe(200);
    await until(() => {
      const record = records.find(({ reason }) => reason === 'user_revoked');
      expect(record?.operation?.resource).toBe('remit/user');
      expect(JSON.stringify(record)).not.toContain('heidi');
    });
  });

  // Red when the route asks only whether somebody is signed in, or takes a task's user from the body.
  it('lets everybody else revoke their own tasks and nothing more', async () => {
    const own = await taskOf('alice');
    const foreign = await taskOf('bob');
    expect((await post('alice', { kind: 'task', id: own.task })).statusCode).toBe(200);
    expect(await isRevoked(own)).toBe(true);
    const before = (await rig.head()).seq;
    for (const body of [
      { kind: 'task', id: foreign.task },
      { kind: 'task', id: `task_${newId()}` },
      { kind: 'user', id: 'alice' },
      { kind: 'token', id: foreign.jti },
      { kind: 'tenant', id: TENANT },
    ]) {
      const answer = await post('alice', body);
      expect(answer.statusCode).toBe(403);
      expect(answer.json()).toMatchObject({ code: 'FORBIDDEN' });
    }
    expect((await rig.head()).seq).toBe(before);
    await until(() => {
      const refused = records.filter(({ event }) => event === 'admin.refused');
      expect(refused).toHaveLength(5);
      expect(refused[0]).toMatchObject({ decision: 'deny', reason: 'person_not_allowed' });
    });
  });

  it('needs an access token for this service', async () => {
    const before = (await rig.head()).seq;
    const body = { kind: 'user', id: 'alice' };
    const past = Math.floor(Date.now() / 1_000) - 60;
    for (const answer of [
      await post(null, body),
      await post('dora', body, { aud: 'http://revocation.test' }),
      await post('dora', body, { aud: ['http://revocation.test/t/acme', 'x'] }),
      await post('dora', body, { cnf: { jkt: 'x' } }),
      await post('dora', body, { iss: 'https://other.test' }),
      await post('nobody', body),
    ]) {
      expect([401, 403]).toContain(answer.statusCode);
    }
    const expired = await rig.people.expired('dora', past);
    const answer = await rig.app.http.inject({
      method: 'POST',
      url: `/t/${TENANT}/revoke`,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${expired}` },
      payload: JSON.stringify(body),
    });
    expect(answer.statusCode).toBe(401);
    expect((await rig.head()).seq).toBe(before);
  });

  it.each([
    ['an unknown kind', { kind: 'planet', id: 'x' }, 400],
    ['an unknown field', { kind: 'task', id: 'x', force: true }, 400],
    ['no id', { kind: 'task' }, 400],
    ['an empty id', { kind: 'task', id: '' }, 400],
    ['a number', { kind: 'task', id: 7 }, 400],
    ['a duplicate name', '{"kind":"task","kind":"user","id":"x"}', 400],
    ['no JSON', '{', 400],
    ['a huge body', { kind: 'task', id: 'x', reason: 'r'.repeat(70_000) }, 413],
    ["another tenant's id", { kind: 'tenant', id: 'globex' }, 400],
  ])('refuses %s', async (_, body, status) => {
    const before = (await rig.head()).seq;
    const answer = await post('dora', body);
    expect(answer.statusCode).toBe(status);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect((await rig.head()).seq).toBe(before);
  });
});

describe('the keys of the service', () => {
  it('are published: the feed and the status lists, public halves only', async () => {
    const answer = await rig.app.http.inject('/.well-known/jwks.json');
    const { keys } = answer.json<{ keys: Record<string, string>[] }>();
    expect(keys).toHaveLength(2);
    for (const key of keys) expect(Object.keys(key)).not.toContain('d');
    expect(keys[0]?.['x']).toBe(rig.infra.trust().keys.revocation[0]?.x);
  });
});

describe('the metrics', () => {
  it('are more than ten of its own, and hold no id of a tenant', async () => {
    const { body } = await rig.app.http.inject('/metrics');
    const own = new Set(body.match(/^# TYPE remit_revocation_\w+/gm));
    expect(own.size).toBeGreaterThanOrEqual(10);
    expect(body).not.toContain(TENANT);
  });
});
