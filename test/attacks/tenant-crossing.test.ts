import { globSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Capability } from '@remit/agent';
import { signInAs } from '@remit/cli';
import { repositoryRoot } from '@remit/stack';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DemoStack, startDemoStack } from '../../demo/stack.ts';
import { openWorld, type World } from '../../demo/world.ts';
import { verifies } from '../e2e/requirements.ts';

// The whole stack with two tenants. Both have the same IdP, so that a person of one can have a token
// whose audience is the other's: what keeps them apart is only ours. dora administers acme, gina globex.

let demo: DemoStack;
let world: World;
let task: Capability;
let recordId: string;
let version: string;

type Service = 'issuer' | 'pdp' | 'revocation' | 'audit' | 'registry';
type Route = [service: Service, method: 'GET' | 'POST' | 'DELETE', path: string, body?: object];

/** Bodies that are well formed, so that what refuses is not their form. */
const RECORDED = {
  id: 'd',
  time: '2026-01-15T12:00:00.000000Z',
  actors: ['procurement-agent'],
  user: 'gina',
  client: 'procurement-agent',
  task: { id: `task_${'A'.repeat(22)}`, type: 'x' },
  audience: 'https://erp.test',
  scope: [{ actions: ['orders.create'], resources: ['erp/orders'], args: 'any' }],
  operation: { action: 'orders.create', resource: 'erp/orders', args: {} },
  decision: 'deny',
  reason: 'user_entitlement',
  policy_version: 'v',
};
const HOLD = {
  user: 'gina',
  from: '2026-01-15T12:00:00Z',
  to: '2026-01-16T12:00:00Z',
  reason: 'a dispute',
};

/** Every route of the five services that names a tenant and needs a person, as the code spells it. */
const GUARDED: Record<string, (own: string) => Route> = {
  '/t/:tenant/access/v1/evaluation': (t) => ['pdp', 'POST', `/t/${t}/access/v1/evaluation`, {}],
  '/t/:tenant/access/v1/evaluations': (t) => ['pdp', 'POST', `/t/${t}/access/v1/evaluations`, {}],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: as the code spells it
  '/t/:tenant/access/v1/search/${kind}': (t) => [
    'pdp',
    'POST',
    `/t/${t}/access/v1/search/subject`,
    {},
  ],
  '/t/:tenant/admin/v1/explain': (t) => ['pdp', 'POST', `/t/${t}/admin/v1/explain`, RECORDED],
  '/t/:tenant/admin/v1/who-can': (t) => [
    'pdp',
    'GET',
    `/t/${t}/admin/v1/who-can?action=orders.create&resource=erp/orders`,
  ],
  '/t/:tenant/admin/v1/can': (t) => [
    'pdp',
    'GET',
    `/t/${t}/admin/v1/can?agent=procurement-agent&user=gina`,
  ],
  '/t/:tenant/admin/v1/policies/check': (t) => [
    'pdp',
    'POST',
    `/t/${t}/admin/v1/policies/check`,
    { files: { 'a.cedar': '' } },
  ],
  '/t/:tenant/admin/v1/policies/rollback': (t) => [
    'pdp',
    'POST',
    `/t/${t}/admin/v1/policies/rollback`,
    {},
  ],
  '/t/:tenant/admin/v1/policies/shadow': (t) => [
    'pdp',
    'DELETE',
    `/t/${t}/admin/v1/policies/shadow`,
  ],
  '/t/:tenant/admin/v1/policies/:version/shadow': (t) => [
    'pdp',
    'POST',
    `/t/${t}/admin/v1/policies/${version}/shadow`,
  ],
  '/t/:tenant/admin/v1/policies/:version/files': (t) => [
    'pdp',
    'GET',
    `/t/${t}/admin/v1/policies/${version}/files`,
  ],
  '/t/:tenant/admin/v1/policies/:version/diff': (t) => [
    'pdp',
    'GET',
    `/t/${t}/admin/v1/policies/${version}/diff`,
  ],
  '/t/:tenant/admin/v1/policies/:version/replay': (t) => [
    'pdp',
    'POST',
    `/t/${t}/admin/v1/policies/${version}/replay`,
    { decisions: [RECORDED] },
  ],
  '/t/:tenant/admin/v1/policies': (t) => ['pdp', 'GET', `/t/${t}/admin/v1/policies`],
  '/t/:tenant/admin/v1/policies/:version/activate': (t) => [
    'pdp',
    'POST',
    `/t/${t}/admin/v1/policies/${version}/activate`,
  ],
  '/t/:tenant/revoke': (t) => [
    'revocation',
    'POST',
    `/t/${t}/revoke`,
    { kind: 'task', id: task.task.id },
  ],
  // Before those that ask for a record of acme: their questions are records of globex.
  '/t/:tenant/export': (t) => ['audit', 'GET', `/t/${t}/export`],
  '/t/:tenant/records': (t) => ['audit', 'GET', `/t/${t}/records`],
  '/t/:tenant/records/:id': (t) => ['audit', 'GET', `/t/${t}/records/${recordId}`],
  '/t/:tenant/records/:id/proof': (t) => ['audit', 'GET', `/t/${t}/records/${recordId}/proof`],
  '/t/:tenant/verify': (t) => ['audit', 'GET', `/t/${t}/verify`],
  '/t/:tenant/checkpoint': (t) => ['audit', 'GET', `/t/${t}/checkpoint`],
  '/t/:tenant/tasks/:id': (t) => ['audit', 'GET', `/t/${t}/tasks/${task.task.id}`],
  '/t/:tenant/holds': (t) => ['audit', 'POST', `/t/${t}/holds`, HOLD],
  '/t/:tenant/holds/:id': (t) => ['audit', 'DELETE', `/t/${t}/holds/${recordId}`],
  '/t/:tenant/erasures': (t) => ['audit', 'POST', `/t/${t}/erasures`, { user: 'alice' }],
  '/t/:tenant/users/:id': (t) => ['registry', 'GET', `/t/${t}/users/alice`],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: as the code spells it
  '/t/:tenant/${path}/:id/${verb}': (t) => ['registry', 'POST', `/t/${t}/users/alice/disable`],
};
/** Routes that everybody may read, and those of clients, which authenticate in their own way. */
const OPEN = [
  '/.well-known/authzen-configuration/t/:tenant',
  '/.well-known/oauth-authorization-server/t/:tenant',
  '/t/:tenant/introspect',
  '/t/:tenant/jwks.json',
  '/t/:tenant/status/:list',
  '/t/:tenant/token',
];

const url = (service: Service) => demo.dev.urls[service] as string;
const tokens = new Map<string, Promise<string>>();
/** An access token of a person for a service of a tenant: the IdP gives it to whoever asks. */
function tokenOf(user: string, service: Service, tenant: string): Promise<string> {
  const key = `${user} ${service} ${tenant}`;
  const known =
    tokens.get(key) ??
    signInAs(demo.dev, user, `${url(service)}/t/${tenant}`).then(({ accessToken }) => accessToken);
  tokens.set(key, known);
  return known;
}
async function send([service, method, path, body]: Route, token?: string) {
  const response = await fetch(url(service) + path, {
    method,
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: response.status, text: await response.text() };
}
const policies = async () =>
  (await send(['pdp', 'GET', '/t/acme/admin/v1/policies'], await tokenOf('dora', 'pdp', 'acme')))
    .text;
const alice = async () =>
  (
    await send(
      ['registry', 'GET', '/t/acme/users/alice'],
      await tokenOf('dora', 'registry', 'acme'),
    )
  ).text;
const use = () => world.erp.at(1, task, 'GET', '/suppliers/S-100');

beforeAll(async () => {
  demo = await startDemoStack({ ports: 'free', onProgress: () => {} });
  const people = JSON.parse(readFileSync(demo.stack.plan.path('people.json'), 'utf8')) as Record<
    string,
    string
  >;
  demo.dev.users.push({ id: 'gina', password: people['gina'] as string, groups: ['security'] });
  world = openWorld(demo.dev, { narrate: {} as World['narrate'], line: demo.line });
  task = await world.agent('procurement-agent').startTask({
    idToken: await world.signIn('alice'),
    taskType: 'supplier-risk-summary',
    slots: { supplier: 'S-100' },
    resource: demo.dev.erp_audience,
  });
  const allowed = await use();
  recordId = allowed.headers.get('remit-decision') as string;
  await world.ledger.line(recordId);
  version = (JSON.parse(await policies()) as { versions: { version: string }[] }).versions[0]
    ?.version as string;
  expect(version).toMatch(/^.{8,}$/);
});
afterAll(async () => {
  await world?.close();
  await demo?.stopAll();
});

it('the list of routes is the one of the code', () => {
  const spelled = globSync('services/*/src/**/*.ts', { cwd: repositoryRoot })
    .filter((file) => !/\.test(ing)?\.ts$|\/test\//.test(file))
    .flatMap((file) => [
      ...readFileSync(join(repositoryRoot, file), 'utf8').matchAll(
        /['"`](\/[^'"`\s]*:tenant[^'"`\s]*)['"`]/g,
      ),
    ])
    .map(([, path]) => path as string);
  expect([...new Set(spelled)].toSorted()).toEqual([...Object.keys(GUARDED), ...OPEN].toSorted());
});

describe.each(Object.keys(GUARDED))('%s', (path) => {
  const route = (tenant: string) => (GUARDED[path] as (t: string) => Route)(tenant);

  // Each goes red when what it names is not compared in createPeopleAuth() of the service kit.
  it('takes nobody of another tenant, whatever audience the token names', async () => {
    const before = [await policies(), await alice()];
    const [service] = route('acme');
    const strangers = [
      undefined,
      await tokenOf('gina', service === 'issuer' ? 'pdp' : service, 'globex'),
      await tokenOf('gina', service, 'acme'),
      // A person of acme, for another service of acme.
      await tokenOf('dora', service === 'pdp' ? 'audit' : 'pdp', 'acme'),
      task.token,
    ];
    for (const token of strangers) {
      const { status, text } = await send(route('acme'), token);
      expect([401, 403]).toContain(status);
      expect(text).not.toMatch(/alice|S-100|suppliers/);
    }
    expect((await send(route('globex'), await tokenOf('dora', service, 'acme'))).status).toBe(401);
    expect([401, 403]).toContain(
      (await send(route('globex'), await tokenOf('dora', service, 'globex'))).status,
    );
    expect([await policies(), await alice()]).toEqual(before);
    expect((await use()).status).toBe(200);
  });

  it('row 50: finds nothing of another tenant by its id, and changes nothing there', async () => {
    verifies('tenants-by-id');
    const before = [await policies(), await alice()];
    const [service] = route('globex');
    const { text } = await send(route('globex'), await tokenOf('gina', service, 'globex'));
    expect(text).not.toContain(recordId);
    expect(text).not.toMatch(/alice|"S-100"|erp\/suppliers/);
    expect([await policies(), await alice()]).toEqual(before);
    expect((await use()).status).toBe(200);
  });
});

describe('ids of another tenant', () => {
  it('row 50: are not found by the administrator of this one', async () => {
    const gina = async (route: Route) =>
      (await send(route, await tokenOf('gina', route[0], 'globex'))).status;
    expect(await gina(['audit', 'GET', `/t/globex/records/${recordId}`])).toBe(404);
    expect(await gina(['audit', 'GET', `/t/globex/records/${recordId}/proof`])).toBe(404);
    expect(await gina(['registry', 'GET', '/t/globex/users/alice'])).toBe(404);
    const activate = `/t/globex/admin/v1/policies/${version}/activate`;
    expect(await gina(['pdp', 'POST', activate])).toBe(404);
    for (const verb of ['disable', 'enable']) {
      expect(await gina(['registry', 'POST', `/t/globex/users/alice/${verb}`])).toBe(404);
    }
    for (const verb of ['suspend', 'resume']) {
      expect(await gina(['registry', 'POST', `/t/globex/agents/procurement-agent/${verb}`])).toBe(
        404,
      );
    }
    const filters = [`task=${task.task.id}`, 'agent=procurement-agent', 'user=alice'];
    for (const filter of filters) {
      const { text } = await send(
        ['audit', 'GET', `/t/globex/records?${filter}`],
        await tokenOf('gina', 'audit', 'globex'),
      );
      expect(JSON.parse(text)).toEqual({ records: [] });
    }
  });

  it('revoked in this tenant, every kind, leave the other tenant’s token alive', async () => {
    const ids = {
      task: task.task.id,
      agent: 'procurement-agent',
      user: 'alice',
      client: 'procurement-agent',
      tenant: 'acme',
    };
    const gina = await tokenOf('gina', 'revocation', 'globex');
    for (const [kind, id] of Object.entries(ids)) {
      const { status } = await send(['revocation', 'POST', '/t/globex/revoke', { kind, id }], gina);
      expect([200, 400, 404]).toContain(status);
    }
    // A revocation of acme itself, so that what came before it has surely arrived at the tool.
    await world.revoke('dora', { kind: 'task', id: `task_${'A'.repeat(22)}` });
    expect((await use()).status).toBe(200);
  });

  it('do not get a token: a client of one tenant is unknown to the other’s issuer', async () => {
    const agent = world.agent('procurement-agent');
    const issuer = demo.dev.issuer.replace('/t/acme', '/t/globex');
    const response = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await agent.actorToken(),
        subject_token: await world.signIn('alice'),
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        resource: demo.dev.erp_audience,
        authorization_details: '[]',
      }),
    });
    expect([400, 401]).toContain(response.status);
    expect(await response.text()).not.toContain('access_token');
  });

  it('each issuer publishes its own keys', async () => {
    const keys = async (tenant: string) =>
      (await send(['issuer', 'GET', `/t/${tenant}/jwks.json`])).text;
    expect(await keys('acme')).not.toBe(await keys('globex'));
    expect((await send(['issuer', 'GET', '/t/umbrella/jwks.json'])).status).toBe(404);
  });
});

/** Sends a request line as it is, with a good token; gives the status. */
function raw(service: Service, method: string, target: string, token: string): Promise<number> {
  const { hostname, port, host } = new URL(url(service));
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname);
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(Number(answer.split(' ')[1])));
    socket.write(
      `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\nauthorization: Bearer ${token}\r\n\r\n`,
    );
  });
}

describe('a path written in another way', () => {
  const tricks = (rest: string): string[] => [
    `//t/acme/${rest}`,
    `/t//acme/${rest}`,
    `/t/acme//${rest}`,
    `/t/acme/${rest}/`,
    `/t/acme;x/${rest}`,
    `/t/acme/${rest};x`,
    `/t/acme;tenant=globex/${rest}`,
    `/t/%61cme/${rest}`,
    `/t/acme%00/${rest}`,
    `/t/acme%2F${rest}`,
    `/t/acme%5C${rest}`,
    `/t/globex/../acme/${rest}`,
    `/t/globex/%2e%2e/acme/${rest}`,
    `/t/globex/%2E%2E/acme/${rest}`,
    `/t/globex%2f..%2facme/${rest}`,
    `/./t/acme/${rest}`,
    `/T/acme/${rest}`,
    `/t/ACME/${rest}`,
    `/t/acme./${rest}`,
    `/t/acme%20/${rest}`,
    `/t/acme\\${rest}`,
    `/t/*/${rest}`,
    `http://evil.example//t/acme/${rest}`,
    `\\t\\acme\\${rest}`,
  ];

  it.each([
    ['audit', 'GET', 'records'],
    ['pdp', 'GET', 'admin/v1/policies'],
    ['registry', 'GET', 'users/alice'],
    ['registry', 'POST', 'users/alice/disable'],
  ] as const)(
    'is refused by %s %s %s, with a token that is good for the plain one',
    async (service, method, rest) => {
      verifies('one-spelling-of-a-path');
      const token = await tokenOf('dora', service, 'acme');
      for (const target of tricks(rest)) {
        const status = await raw(service, method, target, token);
        expect([400, 401, 403, 404, 405], target).toContain(status);
      }
      if (method === 'GET') expect(await raw(service, 'GET', `/t/acme/${rest}`, token)).toBe(200);
      expect(JSON.parse(await alice())).toMatchObject({ status: 'active' });
    },
  );

  it('nor is a tenant taken from the query or a header', async () => {
    const token = await tokenOf('gina', 'registry', 'globex');
    expect(await raw('registry', 'GET', '/t/globex/users/alice?tenant=acme', token)).not.toBe(200);
    const smuggled = `${token}\r\nx-tenant: acme\r\nx-forwarded-prefix: /t/acme\r\nx-original-url: /t/acme/users/alice`;
    expect(await raw('registry', 'GET', '/t/globex/users/alice', smuggled)).toBe(404);
  });
});
