import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIENCE, summary } from '../test/fixtures.ts';
import { startWorld, type World } from '../test/world.ts';

let world: World;
let token: string;

beforeAll(async () => {
  world = await startWorld();
  token = await world.token('erin');
});
afterAll(() => world?.[Symbol.asyncDispose]());

const evaluation = {
  subject: { type: 'user', id: 'alice' },
  action: { name: 'suppliers.read' },
  resource: { type: 'erp', id: 'suppliers/S-100' },
  context: {
    actors: ['procurement-agent'],
    audience: AUDIENCE,
    task: { id: 'task_A', type: summary.id, slots: { supplier: 'S-100' } },
  },
};
type Body = Record<string, unknown>;

const ask = (
  payload: Body | string = evaluation,
  headers: Record<string, string> = {},
  method: 'POST' | 'GET' | 'PUT' = 'POST',
) =>
  world.pdp.http.inject({
    method,
    url: '/t/acme/access/v1/evaluation',
    headers: {
      authorization: `Bearer ${token}`,
      ...(method === 'GET' ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(method === 'GET'
      ? {}
      : { payload: typeof payload === 'string' ? payload : JSON.stringify(payload) }),
  });

describe('an access evaluation', () => {
  it('is allowed with 200 and nothing but the decision', async () => {
    const answer = await ask();
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-type']).toContain('application/json');
    expect(answer.body).toBe('{"decision":true}');
  });

  it('is denied with 200 too', async () => {
    const other = { ...evaluation, resource: { type: 'erp', id: 'suppliers/S-200' } };
    const answer = await ask(other);
    expect([answer.statusCode, answer.body]).toEqual([200, '{"decision":false}']);
  });

  it('is explained only when asked', async () => {
    const other = {
      ...evaluation,
      action: { name: 'contracts.read' },
      context: { ...evaluation.context, explain: true },
    };
    expect((await ask(other)).json()).toEqual({
      decision: false,
      context: {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        reason: 'task_scope',
        dimensions: { agent: 'allow', user: 'allow', task: 'deny', policies: 'allow' },
        miss: { kind: 'action' },
        policies: [],
        policy_version: expect.any(String),
        registry_revision: 3,
      },
    });
  });

  it('takes the resource apart in any way', async () => {
    for (const [type, id] of [
      ['erp', 'suppliers/S-100'],
      ['erp/suppliers', 'S-100'],
    ] as const)
      expect((await ask({ ...evaluation, resource: { type, id } })).json()).toEqual({
        decision: true,
      });
  });

  // What is not said is not there: each of these would be an allow if a default stood in for it.
  it('without agent, task, tool, or with another kind of subject is a deny', async () => {
    const { context } = evaluation;
    const cases: Body[] = [
      { ...evaluation, context: undefined },
      { ...evaluation, context: {} },
      { ...evaluation, context: { ...context, actors: undefined } },
      { ...evaluation, context: { ...context, audience: undefined } },
      { ...evaluation, context: { ...context, task: undefined } },
      { ...evaluation, context: { ...context, task: { type: summary.id } } },
      { ...evaluation, context: { ...context, task: { type: 'no-such-type' } } },
      { ...evaluation, context: { ...context, scope: [] } },
      { ...evaluation, subject: { type: 'group', id: 'alice' } },
      { ...evaluation, subject: { type: 'user', id: 'nobody' } },
      { ...evaluation, resource: { type: 'no-such-type', id: 'x' } },
    ];
    for (const body of cases) {
      const answer = await ask(body);
      expect([answer.statusCode, answer.body], JSON.stringify(body)).toEqual([
        200,
        '{"decision":false}',
      ]);
    }
  });

  it('leaves one record with the composite identity and the reason', async () => {
    await ask({ ...evaluation, resource: { type: 'erp', id: 'suppliers/S-777' } });
    const record = await world.recorded(
      ({ operation }) => operation?.resource === 'erp/suppliers/S-777',
    );
    expect(record).toMatchObject({
      event: 'decision',
      decision: 'deny',
      reason: 'task_scope',
      actor: 'procurement-agent',
      origin_agent: 'procurement-agent',
      task: { id: 'task_A', type: summary.id },
      dimensions: { task: 'deny' },
      audience: AUDIENCE,
      principal: { c: expect.any(String) },
    });
  });
});

describe('the wire of AuthZEN', () => {
  it('refuses what is not an evaluation with 400 and a sentence', async () => {
    const { subject, action, resource } = evaluation;
    const cases: (Body | string)[] = [
      '',
      '{',
      '[]',
      '"x"',
      'null',
      {},
      { action, resource },
      { subject, resource },
      { subject, action },
      { ...evaluation, subject: 'alice' },
      { ...evaluation, subject: { type: 'user' } },
      { ...evaluation, subject: { id: 'alice' } },
      { ...evaluation, subject: { type: 'user', id: 7 } },
      { ...evaluation, action: 'read' },
      { ...evaluation, action: { name: 123 } },
      { ...evaluation, action: {} },
      { ...evaluation, resource: { type: 'erp' } },
      { ...evaluation, resource: { type: 'erp', id: null } },
      { ...evaluation, context: [] },
      { ...evaluation, context: { actors: 'procurement-agent' } },
      { ...evaluation, context: { explain: 'yes' } },
      JSON.stringify(evaluation).replace('{', '{"subject":{"type":"user","id":"dora"},'),
    ];
    for (const body of cases) {
      const answer = await ask(body);
      expect(answer.statusCode, JSON.stringify(body)).toBe(400);
      expect(answer.headers['content-type']).toContain('text/plain');
      expect(answer.body.length).toBeGreaterThan(5);
    }
  });

  it('refuses another content type with 400 and takes one with a charset', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp'])
      expect((await ask(evaluation, { 'content-type': type })).statusCode, type).toBe(400);
    const answer = await ask(evaluation, { 'content-type': 'application/json; charset=utf-8' });
    expect(answer.body).toBe('{"decision":true}');
  });

  it('ignores members that it does not know', async () => {
    const answer = await ask({
      ...evaluation,
      subject: { ...evaluation.subject, properties: { role: 'admin' }, more: 1 },
      context: { ...evaluation.context, weather: 'rain' },
      options: { trace: true },
    });
    expect(answer.body).toBe('{"decision":true}');
  });

  it('echoes X-Request-ID', async () => {
    const id = 'bfe9eb29-ab87-4ca3-be83-a1d5d8305716';
    expect((await ask(evaluation, { 'x-request-id': id })).headers['x-request-id']).toBe(id);
    expect((await ask('{', { 'x-request-id': id })).headers['x-request-id']).toBe(id);
  });

  it('has no other method', async () => {
    for (const method of ['GET', 'PUT'] as const)
      expect((await ask(evaluation, {}, method)).statusCode).toBe(405);
  });

  it('challenges whoever has no acceptable token, and refuses who has no role', async () => {
    const none = await world.pdp.http.inject({
      method: 'POST',
      url: '/t/acme/access/v1/evaluation',
      payload: evaluation,
    });
    expect([none.statusCode, none.headers['www-authenticate']]).toEqual([401, 'Bearer']);
    const junk = await ask(evaluation, { authorization: 'Bearer x' });
    expect([junk.statusCode, junk.headers['www-authenticate']]).toEqual([
      401,
      'Bearer error="invalid_token"',
    ]);
    const alice = await world.token('alice');
    expect((await ask(evaluation, { authorization: `Bearer ${alice}` })).statusCode).toBe(403);
  });

  it('publishes its metadata per tenant', async () => {
    const answer = await world.pdp.http.inject('/.well-known/authzen-configuration/t/acme');
    expect(answer.json()).toEqual({
      policy_decision_point: 'http://pdp.test/t/acme',
      access_evaluation_endpoint: 'http://pdp.test/t/acme/access/v1/evaluation',
      access_evaluations_endpoint: 'http://pdp.test/t/acme/access/v1/evaluations',
      search_subject_endpoint: 'http://pdp.test/t/acme/access/v1/search/subject',
      search_resource_endpoint: 'http://pdp.test/t/acme/access/v1/search/resource',
      search_action_endpoint: 'http://pdp.test/t/acme/access/v1/search/action',
    });
    expect(
      (await world.pdp.http.inject('/.well-known/authzen-configuration/t/%2Facme')).statusCode,
    ).toBe(400);
  });
});
