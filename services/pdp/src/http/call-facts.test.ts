import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Bus, connectBus, createVerifier } from '@remit/bus';
import type { EvaluateRequest } from '@remit/contracts';
import { createDatabase, createLogger, systemClock } from '@remit/service-kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSessions } from '../decide/sessions.ts';
import { forgetSessions } from '../store/sessions.ts';
import type { PdpTables } from '../store/tables.ts';
import { activate, post, startApplication } from '../test/authzen-world.ts';
import type { World } from '../test/world.ts';

// What one call of a task is decided with beside its arguments: what the task did before, what an
// outside decision point says, and how busy the pdp is.

let world: World;
let pep: Bus;
let outside: Server;
let said = '{"decision":true}';

beforeAll(async () => {
  outside = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(said);
    });
  });
  await new Promise<void>((resolve) => outside.listen(0, '127.0.0.1', resolve));
  const { port } = outside.address() as AddressInfo;
  world = await startApplication({
    actions: ['read', 'send'],
    users: { alice: { roles: ['user'] } },
    roles: { user: [{ actions: ['**'], resources: ['**'], args: 'any' }] },
    external: { url: `http://127.0.0.1:${port}/x`, insecure: 'loopback' },
  });
  const { infra } = world;
  pep = await connectBus({ url: infra.natsUrl, ...infra.pepCreds('acme', 'erp-1'), name: 'erp-1' });
});
afterAll(async () => {
  await pep?.close();
  await world?.[Symbol.asyncDispose]();
  outside?.close();
});

const call = (task: string, action = 'read', more: Partial<EvaluateRequest> = {}) =>
  pep.call(
    'pdp.evaluate',
    'acme',
    {
      actors: ['app-agent'],
      user: 'alice',
      client: 'app-agent',
      task: { id: task, type: 'use-app' },
      audience: 'https://app.example',
      scope: [{ actions: ['**'], resources: ['**'], args: 'any' }],
      operation: { action, resource: 'app/x', args: {} },
      ...more,
    },
    { verifier: createVerifier({ keys: world.infra.trust().keys.pdp }) },
  );

describe('an outside decision point of a tenant', () => {
  // Without the event, what was minted before it would be decided without it for as long as it lives.
  it('is announced once, so that every permission is asked again', async () => {
    const log = createLogger({ service: 'pdp', instance: 'test', level: 'fatal' });
    const url = world.infra.databaseUrl('pdp');
    const database = await createDatabase<PdpTables>({ url, schema: 'pdp', log, insecure: true });
    const sent = await database.withTenant('acme', (trx) =>
      trx.selectFrom('outbox').select('subject').execute(),
    );
    expect(sent).toEqual([{ subject: 'remit.policy.acme' }]);
    await database.close();
  });

  // Leave the second question out, or let an allow of it stand for the guardrails, and this goes red.
  it('has the last word on what everybody else allows, and none on what they refuse', async () => {
    expect((await call('task_E')).decision).toBe('allow');
    said = '{"decision":false}';
    expect(await call('task_E')).toMatchObject({
      decision: 'deny',
      reason: 'external_forbid',
      dimensions: { agent: 'allow', user: 'allow', task: 'allow', policies: 'deny' },
      policies: ['remit:external'],
    });
    said = '{"decision":"true"}';
    expect((await call('task_E')).reason).toBe('external_unavailable');
    said = '{"decision":true}';
    expect((await call('task_E', 'read', { scope: [] })).reason).toBe('task_scope');
  });
});

describe('a session', () => {
  it('counts what a task asked, refused or not, over tools and actions, and no other task', async () => {
    await activate(
      world,
      `@id("three") forbid (principal, action == Action::"read", resource)
         when { context.session.calls > 3 || context.session.recent.volume > 1000 };
       @id("read-then-send") forbid (principal, action == Action::"send", resource)
         when { context.session.actions.contains("read") };
       @id("stubborn") forbid (principal, action, resource)
         when { context.session.denials >= 2 };`,
    );
    const reasons: string[] = [];
    for (let n = 0; n < 6; n++) {
      const { decision, policies } = await call('task_S');
      reasons.push(`${decision} ${policies.join()}`);
    }
    expect(reasons).toEqual([
      'allow remit:dimensions',
      'allow remit:dimensions',
      'allow remit:dimensions',
      'deny three',
      'deny three',
      'deny stubborn,three',
    ]);
    expect((await call('task_T', 'send')).decision).toBe('allow');
    expect((await call('task_T', 'read')).decision).toBe('allow');
    expect((await call('task_T', 'send')).policies).toEqual(['read-then-send']);
    const large = { signals: { volume: 600 } };
    expect((await call('task_V', 'read', large)).decision).toBe('allow');
    expect((await call('task_V', 'read', large)).policies).toEqual(['three']);
  });

  // Count after deciding, and more than three of these pass.
  it('is not outrun by calls at the same moment', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => call('task_R')));
    expect(answers.filter(({ decision }) => decision === 'allow').length).toBeLessThanOrEqual(3);
  });

  it('is of one tenant, and holds so many tools and actions', async () => {
    const log = createLogger({ service: 'pdp', instance: 'test', level: 'fatal' });
    const database = await createDatabase<PdpTables>({
      url: world.infra.databaseUrl('pdp'),
      schema: 'pdp',
      log,
      insecure: true,
    });
    const sessions = createSessions({ database, clock: systemClock, log });
    const one = { tenant: 'globex', task: 'task_S', tool: 'crm', volume: 0 };
    expect(await sessions.count({ ...one, action: 'read' })).toMatchObject({
      calls: 1,
      tools: ['crm'],
      recent: { calls: 1 },
    });
    for (let n = 1; n < 64; n++) await sessions.count({ ...one, action: `read.${n}` });
    // What no guardrail would see must not be decided on.
    for (const action of ['read.64', 'read.65', 'read.1'])
      await expect(sessions.count({ ...one, action })).rejects.toMatchObject({
        code: 'POLICY_ERROR',
      });
    const kept = await database.withTenant('globex', (trx) =>
      trx.selectFrom('task_sessions').select(['task', 'calls', 'actions']).execute(),
    );
    expect(kept).toMatchObject([{ task: 'task_S', calls: 67 }]);
    expect(kept[0]?.actions).toHaveLength(65);
    await database.withSystem((trx) => forgetSessions(trx, Date.now() + 26 * 3_600_000));
    const left = await database.withTenant('globex', (trx) =>
      trx.selectFrom('task_sessions').select('task').execute(),
    );
    expect(left).toEqual([]);
    await database.close();
  });

  it('makes every permission of a tenant online', async () => {
    const issuer = await connectBus({
      url: world.infra.natsUrl,
      ...world.infra.creds('issuer'),
      name: 'issuer',
    });
    const minted = await issuer.call(
      'pdp.mint',
      'acme',
      {
        actors: ['app-agent'],
        user: 'alice',
        client: 'app-agent',
        audience: 'https://app.example',
        task: { id: 'task_M', type: 'use-app', slots: {} },
        narrow: false,
      },
      { verifier: createVerifier({ keys: world.infra.trust().keys.pdp }) },
    );
    await issuer.close();
    expect(minted.permissions.map(({ check }) => check)).toEqual(['online']);
  });
});

describe('a search', () => {
  it('counts nothing as a call', async () => {
    const body = {
      subject: { type: 'user', id: 'alice' },
      resource: { type: 'app', id: 'x' },
      context: { task: { id: 'task_Q', type: 'use-app' } },
    };
    for (let n = 0; n < 5; n++)
      expect((await post(world, 'search/action', body)).json()).toEqual({
        results: [{ name: 'read' }, { name: 'send' }],
      });
  });
});
