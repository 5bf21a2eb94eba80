import { verify } from 'node:crypto';
import { jwkThumbprint, verifyProof } from '@remit/capability';
import { describe, expect, it } from 'vitest';
import * as sdk from './index.ts';
import {
  type Answer,
  agentOn,
  client,
  GRANT,
  ISSUER,
  issuerRoutes,
  json,
  key,
  METADATA,
  NOW_MS,
  NOW_SECONDS,
  network,
  proofWindow,
  READ,
  refusalOf,
  startedOn,
  TASK,
  TOKEN,
  TOOL,
  wellKnown,
} from './test-network.ts';

const challenge = () => json({ error: 'use_dpop_nonce' }, 400, { 'dpop-nonce': 'n-1' });

describe('the package', () => {
  it('exports what its readers build on', () => {
    expect(Object.keys(sdk).toSorted()).toEqual(['AgentError', 'createAgent', 'createWorker']);
  });
});

describe('startTask', () => {
  it('asks for a token of the task type as an authenticated client that proves its own key', async () => {
    const { to, capability } = await startedOn({});
    const [request] = to(`${ISSUER}/token`);
    const form = new URLSearchParams(request?.body);
    expect(request?.method).toBe('POST');
    expect(request?.redirect).toBe('error');
    expect(request?.headers.get('content-type')).toBe('application/x-www-form-urlencoded');
    expect([...form.keys()].toSorted()).toEqual([
      'authorization_details',
      'client_assertion',
      'client_assertion_type',
      'client_id',
      'grant_type',
      'requested_token_type',
      'resource',
      'subject_token',
      'subject_token_type',
    ]);
    expect(form.get('grant_type')).toBe('urn:ietf:params:oauth:grant-type:token-exchange');
    expect(form.get('subject_token_type')).toBe('urn:ietf:params:oauth:token-type:id_token');
    expect(form.get('resource')).toBe('https://erp.example');
    expect(JSON.parse(form.get('authorization_details') ?? '')).toEqual([
      {
        type: 'urn:remit:task:1',
        task_type: 'supplier-risk-summary',
        slots: { supplier: 'S-100' },
      },
    ]);
    const proof = verifyProof({
      proof: request?.headers.get('dpop') ?? '',
      method: 'POST',
      url: `${ISSUER}/token`,
      ...proofWindow,
    });
    expect(proof.jkt).not.toBe(jwkThumbprint(key));
    expect(capability).toMatchObject({
      tokenType: 'DPoP',
      audience: TOOL,
      expiresAt: new Date(NOW_MS + 300_000),
      permissions: [READ],
      task: { id: 'task_1', type: 'supplier-risk-summary', until: NOW_SECONDS + 3600 },
    });
    expect(capability.token).toBe(TOKEN);
  });

  it('signs an assertion for the issuer alone, good for a minute, new each time', async () => {
    const net = network(issuerRoutes);
    const agent = agentOn(net.fetch);
    await agent.startTask(TASK);
    await agent.startTask(TASK);
    const seen = net.to(`${ISSUER}/token`).map(({ body }) => {
      const [header, payload, signature] = (
        new URLSearchParams(body).get('client_assertion') ?? ''
      ).split('.') as [string, string, string];
      const signed = Buffer.from(`${header}.${payload}`);
      const bytes = Buffer.from(signature, 'base64url');
      expect(verify(null, signed, client.publicKey, bytes)).toBe(true);
      expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
        typ: 'client-authentication+jwt',
        alg: 'Ed25519',
        kid: jwkThumbprint(key),
      });
      return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
    });
    expect(seen[0]).toEqual({
      iss: 'procurement-agent',
      sub: 'procurement-agent',
      aud: ISSUER,
      jti: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
      iat: NOW_SECONDS,
      exp: NOW_SECONDS + 60,
    });
    expect(seen[1]?.jti).not.toBe(seen[0]?.jti);
    expect(net.to(wellKnown)).toHaveLength(1);
  });

  it('asks for part of the ceiling, narrowed where it says so', async () => {
    const net = network(issuerRoutes);
    await agentOn(net.fetch).startTask({ ...TASK, requested: [READ], narrow: true });
    const form = new URLSearchParams(net.to(`${ISSUER}/token`)[0]?.body);
    expect(JSON.parse(form.get('authorization_details') ?? '')).toEqual([
      {
        type: 'urn:remit:task:1',
        task_type: 'supplier-risk-summary',
        slots: { supplier: 'S-100' },
        narrow: true,
      },
      { type: 'urn:remit:capability:1', ...READ },
    ]);
  });

  it('sends no proof and takes only a bearer token where it was told bearer', async () => {
    const bearer = { ...GRANT, token_type: 'Bearer' };
    const net = network({
      ...issuerRoutes,
      [`${ISSUER}/token`]: () => json(bearer),
      [`${TOOL}/x`]: () => new Response('ok'),
    });
    const capability = await agentOn(net.fetch, { binding: 'bearer' }).startTask(TASK);
    await capability.fetch(`${TOOL}/x`);
    expect(net.to(`${ISSUER}/token`)[0]?.headers.has('dpop')).toBe(false);
    expect(net.to(`${TOOL}/x`)[0]?.headers.get('authorization')).toBe(`Bearer ${TOKEN}`);
    expect(net.to(`${TOOL}/x`)[0]?.headers.has('dpop')).toBe(false);
  });

  // Red when readGrant compares nothing: a token without binding would be used as if it had one.
  it('takes no token of another kind than it asked for', async () => {
    const net = network({
      ...issuerRoutes,
      [`${ISSUER}/token`]: () => json({ ...GRANT, token_type: 'Bearer' }),
    });
    const error = await refusalOf(agentOn(net.fetch).startTask(TASK));
    expect(error.code).toBe('RESPONSE_INVALID');
    expect(error.message).toBe("the issuer's answer has no valid token_type");
  });

  it('says what the issuer refused, and which part of the request it was', async () => {
    const body = {
      error: 'invalid_authorization_details',
      error_description: 'Permission 0 is not allowed.',
      reason: 'user_entitlement',
      dimension: 'user',
      refused: { permission: 0, path: 'amount' },
      record_id: 'r-1',
    };
    const net = network({ ...issuerRoutes, [`${ISSUER}/token`]: () => json(body, 400) });
    const error = await refusalOf(agentOn(net.fetch).startTask(TASK));
    expect(error.code).toBe('REFUSED');
    expect(error.message).toBe('Permission 0 is not allowed.');
    expect(error.refusal).toEqual({
      status: 400,
      error: 'invalid_authorization_details',
      description: 'Permission 0 is not allowed.',
      reason: 'user_entitlement',
      dimension: 'user',
      refused: { permission: 0, path: 'amount' },
      recordId: 'r-1',
    });
  });

  it('asks for less than the task type says where it is told to', async () => {
    const net = network(issuerRoutes);
    const limits = { tokenSeconds: 60, depthMax: 0, links: false, mayAct: [] };
    await agentOn(net.fetch).startTask({ ...TASK, limits });
    const asked = new URLSearchParams(net.to(`${ISSUER}/token`)[0]?.body);
    const [detail] = JSON.parse(asked.get('authorization_details') ?? '[]') as { limits: object }[];
    expect(detail?.limits).toEqual({
      token_seconds: 60,
      depth_max: 0,
      links: false,
      may_act: [],
    });
  });

  it('answers a nonce challenge of the issuer once, with a new assertion and a new proof', async () => {
    let first = true;
    const net = network({
      ...issuerRoutes,
      [`${ISSUER}/token`]: () => {
        if (!first) return json(GRANT);
        first = false;
        return challenge();
      },
    });
    await agentOn(net.fetch).startTask(TASK);
    const [one, two] = net.to(`${ISSUER}/token`);
    const options = { method: 'POST', url: `${ISSUER}/token`, ...proofWindow };
    verifyProof({ proof: two?.headers.get('dpop') ?? '', nonce: 'n-1', ...options });
    expect(one?.body).not.toBe(two?.body);

    const giving = network({
      ...issuerRoutes,
      [`${ISSUER}/token`]: () => json(GRANT, 200, { 'dpop-nonce': 'n-2' }),
    });
    const agent = agentOn(giving.fetch);
    await agent.startTask(TASK);
    await agent.startTask(TASK);
    const [, next] = giving.to(`${ISSUER}/token`);
    expect(giving.to(`${ISSUER}/token`)).toHaveLength(2);
    verifyProof({ proof: next?.headers.get('dpop') ?? '', nonce: 'n-2', ...options });

    const stubborn = network({ ...issuerRoutes, [`${ISSUER}/token`]: challenge });
    const error = await refusalOf(agentOn(stubborn.fetch).startTask(TASK));
    expect(error.code).toBe('RESPONSE_INVALID');
    expect(stubborn.to(`${ISSUER}/token`)).toHaveLength(2);
  });

  it.each([
    ['nothing answers', () => Promise.reject(new TypeError('connect')), 'UNREACHABLE'],
    [
      'the issuer is overloaded',
      () => json({ error: 'temporarily_unavailable' }, 503),
      'UNREACHABLE',
    ],
    ['the answer is HTML', () => new Response('<p>'), 'RESPONSE_INVALID'],
    [
      'a member stands twice',
      () => text('{"access_token":"a","access_token":"b"}'),
      'RESPONSE_INVALID',
    ],
    ['the answer is a list', () => json([]), 'RESPONSE_INVALID'],
    ['the answer has no end', () => text(`{"a":"${'x'.repeat(200_000)}"}`), 'RESPONSE_INVALID'],
    ['the answer is empty', () => json({}), 'RESPONSE_INVALID'],
    [
      'a permission has another type',
      () => grantWith({ authorization_details: [{ type: 'x' }] }),
      'RESPONSE_INVALID',
    ],
    ['the task is missing', () => grantWith({ task: undefined }), 'RESPONSE_INVALID'],
    ['the lifetime is not a number', () => grantWith({ expires_in: '300' }), 'RESPONSE_INVALID'],
    ['an error has no code', () => json({}, 400), 'RESPONSE_INVALID'],
  ])('gives no capability when %s', async (_, answer, code) => {
    const net = network({
      ...issuerRoutes,
      [`${ISSUER}/token`]: answer as Answer,
    });
    const error = await refusalOf(agentOn(net.fetch).startTask(TASK));
    expect(error.code).toBe(code);
  });
});

describe('the metadata of the issuer', () => {
  it.each([
    ['another issuer', { ...METADATA, issuer: `${ISSUER}/` }, 'ISSUER_MISMATCH'],
    ['an issuer in another case', { ...METADATA, issuer: ISSUER.toUpperCase() }, 'ISSUER_MISMATCH'],
    ['no token endpoint', { ...METADATA, token_endpoint: undefined }, 'METADATA_INVALID'],
    [
      'an endpoint without TLS',
      { ...METADATA, token_endpoint: 'http://x.example/t' },
      'METADATA_INVALID',
    ],
    [
      'no method that the SDK has',
      { ...METADATA, token_endpoint_auth_methods_supported: ['none'] },
      'METADATA_INVALID',
    ],
  ])('is refused when it names %s, and no assertion leaves', async (_, document, code) => {
    const net = network({ ...issuerRoutes, [wellKnown]: () => json(document) });
    const error = await refusalOf(agentOn(net.fetch).startTask(TASK));
    expect(error.code).toBe(code);
    expect(net.calls.filter(({ method }) => method === 'POST')).toHaveLength(0);
  });

  it('is read again after a failure', async () => {
    let up = false;
    const net = network({
      ...issuerRoutes,
      [wellKnown]: () => (up ? json(METADATA) : new Response('', { status: 502 })),
    });
    const agent = agentOn(net.fetch);
    expect((await refusalOf(agent.startTask(TASK))).code).toBe('METADATA_INVALID');
    up = true;
    expect((await agent.startTask(TASK)).token).toBe(TOKEN);
  });
});

describe('options', () => {
  const rsa = { kty: 'RSA', n: 'AQAB', e: 'AQAB', d: 'AQAB' };
  it.each([
    ['an issuer without TLS', { issuer: 'http://issuer.example/t/acme' }],
    ['a name that only ends like this machine', { issuer: 'http://evillocalhost/t/acme' }],
    ['a name that only begins like it', { issuer: 'http://localhost.example/t/acme' }],
    ['an issuer with credentials', { issuer: 'https://u:p@issuer.example' }],
    ['an issuer that is no URL', { issuer: 'issuer' }],
    ['a key of another kind', { key: rsa }],
    ['a public key', { key: { ...client.publicKey.export({ format: 'jwk' }) } }],
    ['a proof key for bearer tokens', { binding: 'bearer' as const, proofKey: key }],
  ])('refuse %s at once', async (_, options) => {
    const error = await refusalOf(() => agentOn(fetch, options));
    expect(error.code).toBe('OPTION_INVALID');
  });

  it('take http to this machine, and elsewhere only when told', () => {
    for (const host of ['127.0.0.1:1', 'localhost:1', '[::1]', 'remit.localhost:7401']) {
      agentOn(fetch, { issuer: `http://${host}/t/a` });
    }
    agentOn(fetch, { issuer: 'http://issuer:1/t/a', allowInsecureHttp: true });
  });
});

function text(body: string): Response {
  return new Response(body, { headers: { 'content-type': 'application/json' } });
}

function grantWith(members: Record<string, unknown>): Response {
  return json({ ...GRANT, ...members });
}
