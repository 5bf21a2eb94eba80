import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Capability as Claims,
  capabilityPayload,
  importSigner,
  scope,
  splitChain,
  verifyChain,
  verifyProof,
} from '@remit/capability';
import { describe, expect, it } from 'vitest';
import { createWorker, type Fetch } from './index.ts';
import {
  agentOn,
  GRANT,
  ISSUER,
  issuerRoutes,
  json,
  METADATA,
  NOW_MS,
  NOW_SECONDS,
  network,
  proofWindow,
  READ,
  refusalOf,
  TASK,
  TOOL,
  wellKnown,
} from './test-network.ts';

const newKey = () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }) };
};
const HOLDER = newKey();
const ANALYST = newKey();
const jktOf = (jwk: object) => importSigner(jwk).kid;
const TWO = { ...READ, actions: ['suppliers.read', 'suppliers.risk.read'] };

function claims(changed: Partial<Claims> = {}): Claims {
  return {
    issuer: ISSUER,
    audience: TOOL,
    id: 'token-1',
    issuedAt: NOW_SECONDS,
    notBefore: NOW_SECONDS,
    expiresAt: NOW_SECONDS + 300,
    subject: 'alice',
    actors: ['procurement-agent'],
    clientId: 'procurement-agent',
    tenant: 'acme',
    task: { id: 'task_1', type: 'supplier-risk-summary' },
    scope: scope([TWO]),
    lineage: [],
    depth: { used: 0, max: 3 },
    rev: { epoch: 'e', seq: 1 },
    status: { idx: 1, uri: `${ISSUER}/status/1` },
    policy: { version: 'v1', decision: 'd1' },
    confirmation: { jkt: jktOf(HOLDER) },
    mayAct: [{ sub: 'risk-analyst', jkt: jktOf(ANALYST), scope: scope([TWO]) }],
    links: true,
    ...changed,
  };
}

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const tokenOf = (of: Claims) => `${part({ alg: 'ML-DSA-65' })}.${part(capabilityPayload(of))}.c2ln`;

/** An agent that holds a token with these claims; the signature is the tool’s to verify. */
async function holder(of: Claims = claims()) {
  const token = tokenOf(of);
  const net = network({
    ...issuerRoutes,
    [wellKnown]: () => json({ ...METADATA, revocation_endpoint: `${ISSUER}/revoke` }),
    [`${ISSUER}/token`]: () => json({ ...GRANT, access_token: token }),
    [`${ISSUER}/revoke`]: () => json({}),
    [`${TOOL}/x`]: () => new Response('ok'),
  });
  const agent = agentOn(net.fetch, { proofKey: HOLDER });
  return { agent, net, of, token, held: await agent.startTask(TASK) };
}
const workerOn = (net: { fetch: Fetch }) => createWorker({ fetch: net.fetch, clock: () => NOW_MS });
const verified = (of: Claims, text: string) =>
  verifyChain(of, text, { algorithms: ['ES256', 'Ed25519'] });

describe('handOn', () => {
  it('hands part of a token to a worker’s key, which calls the tool with the whole chain', async () => {
    const { agent, held, net, of } = await holder();
    const worker = workerOn(net);
    const handover = agent.handOn(held, { to: worker.jkt, permissions: [READ] });
    await worker.receive(structuredClone(handover)).fetch(`${TOOL}/x`);

    const [call] = net.to(`${TOOL}/x`);
    expect(call?.headers.get('authorization')).toBe(`DPoP ${handover.token}`);
    const proved = verifyProof({
      proof: call?.headers.get('dpop') ?? '',
      method: 'GET',
      url: `${TOOL}/x`,
      accessToken: handover.token,
      ...proofWindow,
    });
    expect(proved.jkt).toBe(worker.jkt);
    const { capability, links } = verified(of, handover.token);
    expect(capability.confirmation).toEqual({ jkt: worker.jkt });
    expect(links).toMatchObject([{ actor: 'procurement-agent', worker: true }]);
    expect(handover).toMatchObject({
      audience: TOOL,
      expiresAt: new Date(NOW_MS + 299_000).toISOString(),
      permissions: [READ],
    });
    expect(net.to(`${ISSUER}/token`)).toHaveLength(1);
  });

  it('goes on from a chain that was received, to an agent that the token names', async () => {
    const { agent, held, net, of } = await holder();
    const worker = workerOn(net);
    const analyst = agentOn(net.fetch, { clientId: 'risk-analyst', proofKey: ANALYST });
    const first = agent.handOn(held, { to: worker.jkt, permissions: [TWO] });
    const second = worker.handOn(worker.receive(first), {
      to: analyst.jkt ?? '',
      permissions: [READ],
      expiresInSeconds: 60,
    });
    const { capability, links } = verified(of, second.token);
    expect(capability.actors).toEqual(['procurement-agent', 'risk-analyst']);
    expect(capability.expiresAt).toBe(NOW_SECONDS + 60);
    expect(links.map(({ worker: is }) => is)).toEqual([true, false]);
    expect(analyst.receive(second).token).toBe(second.token);
    expect(splitChain(second.token).links).toHaveLength(2);
  });

  // Each row goes red when the rule is left to the enforcement point.
  it.each([
    ['a token that may not be handed on', claims({ links: false }), {}, 'LINKS_NOT_ALLOWED'],
    ['a hop too many', claims({ depth: { used: 0, max: 0 } }), {}, 'DEPTH_EXCEEDED'],
    [
      'a token bound to another key',
      claims({ confirmation: { jkt: jktOf(ANALYST) } }),
      {},
      'LINK_KEY_MISMATCH',
    ],
    [
      'more than the token has',
      claims(),
      { permissions: [{ ...READ, actions: ['**'] }] },
      'SCOPE_WIDENING',
    ],
    [
      'everything, to another agent',
      claims(),
      { to: jktOf(ANALYST), permissions: [TWO] },
      'NOTHING_GIVEN_UP',
    ],
    ['a receiver that is no key', claims(), { to: 'risk-analyst' }, 'LINK_MALFORMED'],
    [
      'a token that has ended',
      claims({ issuedAt: 1, notBefore: 1, expiresAt: 100 }),
      {},
      'EXPIRY_WIDENING',
    ],
    ['no time at all', claims(), { expiresInSeconds: 0 }, 'EXPIRY_WIDENING'],
  ])('refuses %s at once', async (_, of, changed, code) => {
    const { agent, held } = await holder(of);
    const request = { to: jktOf(newKey()), permissions: [READ], ...changed };
    const error = await refusalOf(() => agent.handOn(held, request));
    expect(error.code).toBe('HAND_ON_REFUSED');
    expect(error.details).toMatchObject({ code });
    expect(JSON.stringify(error.details)).not.toContain(held.token);
  });

  it('says what of the request is too much, and not what the token holds', async () => {
    const { agent, held } = await holder();
    const permissions = [{ ...READ, resources: ['erp/suppliers/*'] }];
    const error = await refusalOf(() => agent.handOn(held, { to: jktOf(newKey()), permissions }));
    expect(error.message).toBe('the scope of a link is too wide');
    expect(error.details).toMatchObject({ code: 'SCOPE_WIDENING', bound: 'parent' });
    expect(String(error.details['excess'])).toMatch(
      /^The action suppliers\.read is not given on erp\/suppliers\/\*/,
    );
    const broken = await refusalOf(() =>
      agent.handOn(held, { to: jktOf(newKey()), permissions: [{ ...READ, actions: ['a b'] }] }),
    );
    expect(broken.code).toBe('OPTION_INVALID');
  });

  it('builds nothing on a chain that does not hold', async () => {
    const { agent, held, net } = await holder();
    const worker = workerOn(net);
    const { token, ...rest } = agent.handOn(held, { to: worker.jkt, permissions: [READ] });
    const forged = worker.receive({ ...rest, token: `${token.slice(0, -4)}AAAA` });
    const request = { to: jktOf(newKey()), permissions: [READ] };
    const error = await refusalOf(() => worker.handOn(forged, request));
    expect(error.details).toMatchObject({ code: 'LINK_SIGNATURE_INVALID' });
    const none = worker.receive({ ...rest, token: 'no token' });
    const unreadable = await refusalOf(() => worker.handOn(none, request));
    expect(unreadable.message).toBe('the token cannot be read');
  });

  it('is not for bearer agents', async () => {
    const { held, net } = await holder();
    const bearer = agentOn(net.fetch, { binding: 'bearer' });
    expect(bearer.jkt).toBeUndefined();
    const error = await refusalOf(() => bearer.handOn(held, { to: 'x', permissions: [READ] }));
    expect(error.message).toBe('a bearer token cannot be handed on');
  });
});

// Every line of the example on the page stands below as it is there.
it('is as short as the page on handing on shows it', async () => {
  const { agent, held, net } = await holder();
  const { fetch } = net;
  const worker = createWorker({ fetch });
  const handover = agent.handOn(held, { to: worker.jkt, permissions: [READ] });
  const answer = await worker.receive(handover).fetch(`${TOOL}/x`);
  expect(answer.status).toBe(200);

  const page = readFileSync(join(import.meta.dirname, '../../../docs/delegation.md'), 'utf8');
  const [, example = ''] = /```ts\n([^`]*`[^`]*`[^`]*)```/.exec(page) ?? [];
  const lines = example.trim().split('\n');
  expect(lines).toHaveLength(3);
  const test = readFileSync(import.meta.filename, 'utf8');
  expect(lines.filter((line) => !test.includes(`  ${line}\n`))).toEqual([]);
});

describe('revoke', () => {
  it('takes back what was handed on, with the agent’s registered key', async () => {
    const { agent, held, net } = await holder();
    const handover = agent.handOn(held, { to: workerOn(net).jkt, permissions: [READ] });
    await agent.revoke(handover);
    const [request] = net.to(`${ISSUER}/revoke`);
    expect(Object.fromEntries(new URLSearchParams(request?.body))).toEqual({
      client_id: 'procurement-agent',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: expect.any(String),
      token: handover.token,
    });
  });

  it('needs an issuer that has the endpoint, at an address that secrets may go to', async () => {
    const plain = network(issuerRoutes);
    const missing = await refusalOf(agentOn(plain.fetch).revoke({ token: 't' }));
    expect(missing.message).toBe('the issuer names no revocation endpoint');
    for (const address of [7, 'http://issuer.example/revoke']) {
      const net = network({
        ...issuerRoutes,
        [wellKnown]: () => json({ ...METADATA, revocation_endpoint: address }),
      });
      const error = await refusalOf(agentOn(net.fetch).revoke({ token: 't' }));
      expect(error.code).toBe('METADATA_INVALID');
    }
  });
});
