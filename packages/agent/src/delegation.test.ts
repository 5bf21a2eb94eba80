import { verify } from 'node:crypto';
import { jwkThumbprint, verifyProof } from '@remit/capability';
import { describe, expect, it } from 'vitest';
import {
  agentOn,
  client,
  GRANT,
  ISSUER,
  issuerRoutes,
  json,
  key,
  NOW_MS,
  NOW_SECONDS,
  network,
  proofWindow,
  READ,
  refusalOf,
  TOKEN,
  TOOL,
} from './test-network.ts';

const CHILD = 'child.payload.signature';
const ACTOR_TOKEN = 'actor.payload.signature';
const grantOf = (token: string) => json({ ...GRANT, access_token: token });

/** An agent that holds a token, and the next answer of the issuer. */
async function holder(answer: () => Response = () => grantOf(CHILD)) {
  const answers = [() => json(GRANT), answer];
  const routes = { ...issuerRoutes, [`${ISSUER}/token`]: () => (answers.shift() ?? answer)() };
  const net = network(routes);
  const agent = agentOn(net.fetch);
  const held = await agent.startTask({
    idToken: 'id',
    taskType: 'supplier-risk-summary',
    resource: TOOL,
  });
  return { agent, held, net };
}

describe('delegate', () => {
  it('asks with the token, the other agent’s word and what it is to have', async () => {
    const { agent, held, net } = await holder();
    const handover = await agent.delegate(held, { actorToken: ACTOR_TOKEN, requested: [READ] });
    const request = net.to(`${ISSUER}/token`)[1];
    const form = Object.fromEntries(new URLSearchParams(request?.body));
    expect(form).toEqual({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      client_id: 'procurement-agent',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: expect.any(String),
      subject_token: TOKEN,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      actor_token: ACTOR_TOKEN,
      actor_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      resource: TOOL,
      authorization_details: JSON.stringify([{ type: 'urn:remit:capability:1', ...READ }]),
    });
    expect(handover).toEqual({
      token: CHILD,
      audience: TOOL,
      expiresAt: new Date(NOW_MS + 300_000).toISOString(),
      permissions: [READ],
      task: GRANT.task,
    });
  });

  // Red when `exchange` makes its proof without the token: a stolen token could be handed on.
  it('proves the key of the token that it hands on', async () => {
    const { agent, held, net } = await holder();
    await agent.delegate(held, { actorToken: ACTOR_TOKEN, requested: [READ] });
    const [launch, delegation] = net.to(`${ISSUER}/token`).map(({ headers }) => {
      return headers.get('dpop') ?? '';
    });
    const about = { method: 'POST', url: `${ISSUER}/token`, ...proofWindow };
    const proved = verifyProof({ proof: delegation ?? '', accessToken: TOKEN, ...about });
    expect(proved.jkt).toBe(verifyProof({ proof: launch ?? '', ...about }).jkt);
  });

  it('takes no child that is bound to nobody', async () => {
    const { agent, held } = await holder(() => json({ ...GRANT, token_type: 'Bearer' }));
    const error = await refusalOf(
      agent.delegate(held, { actorToken: ACTOR_TOKEN, requested: [READ] }),
    );
    expect(error.code).toBe('RESPONSE_INVALID');
    expect(error.message).toBe("the issuer's answer has no valid token_type");
  });

  it('says what the issuer refused', async () => {
    const { agent, held } = await holder(() =>
      json(
        {
          error: 'invalid_request',
          error_description: 'The subject token cannot be handed on any further.',
          reason: 'depth_exceeded',
          record_id: 'record-1',
        },
        400,
      ),
    );
    const error = await refusalOf(
      agent.delegate(held, { actorToken: ACTOR_TOKEN, requested: [READ] }),
    );
    expect(error.code).toBe('REFUSED');
    expect(error.refusal).toMatchObject({ reason: 'depth_exceeded', recordId: 'record-1' });
  });
});

describe('actorToken', () => {
  it('is this agent’s word to the issuer, with the key that its tokens are bound to', async () => {
    const net = network(issuerRoutes);
    const agent = agentOn(net.fetch, { clientId: 'risk-analyst' });
    const tokens = [await agent.actorToken(), await agent.actorToken()];
    const claims = tokens.map((token) => {
      const [header, payload, signature] = token.split('.') as [string, string, string];
      const bytes = Buffer.from(signature, 'base64url');
      expect(verify(null, Buffer.from(`${header}.${payload}`), client.publicKey, bytes)).toBe(true);
      expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
        typ: 'remit-actor+jwt',
        alg: 'Ed25519',
        kid: jwkThumbprint(key),
      });
      return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
    });
    expect(claims[0]).toEqual({
      iss: 'risk-analyst',
      sub: 'risk-analyst',
      aud: ISSUER,
      jti: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
      iat: NOW_SECONDS,
      exp: NOW_SECONDS + 120,
      cnf: { jkt: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/) },
    });
    expect(claims[1]?.jti).not.toBe(claims[0]?.jti);
    expect(net.calls.filter(({ method }) => method === 'POST')).toHaveLength(0);
  });

  it('cannot be had of a bearer agent', async () => {
    const error = await refusalOf(
      agentOn(network(issuerRoutes).fetch, { binding: 'bearer' }).actorToken(),
    );
    expect(error.code).toBe('OPTION_INVALID');
    expect(error.message).toBe('a bearer agent has no key to bind to');
  });
});

describe('receive', () => {
  const handover = {
    token: CHILD,
    audience: TOOL,
    expiresAt: new Date(NOW_MS + 60_000).toISOString(),
    permissions: [READ],
    task: GRANT.task,
  };

  it('makes a capability that proves the key of the actor token', async () => {
    const net = network({ ...issuerRoutes, [`${TOOL}/x`]: () => new Response('ok') });
    const agent = agentOn(net.fetch);
    const [, payload = ''] = (await agent.actorToken()).split('.');
    const { cnf } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
      cnf: { jkt: string };
    };
    const received = agent.receive(structuredClone(handover));
    await received.fetch(`${TOOL}/x`);
    const [call] = net.to(`${TOOL}/x`);
    expect(call?.headers.get('authorization')).toBe(`DPoP ${CHILD}`);
    const { jkt } = verifyProof({
      proof: call?.headers.get('dpop') ?? '',
      method: 'GET',
      url: `${TOOL}/x`,
      accessToken: CHILD,
      ...proofWindow,
    });
    expect(jkt).toBe(cnf.jkt);
    expect(received.expiresAt).toEqual(new Date(NOW_MS + 60_000));
    expect(JSON.stringify(received)).not.toContain(CHILD);
  });

  it('is not for a bearer agent, nor for an audience without TLS', async () => {
    const net = network(issuerRoutes);
    const bearer = await refusalOf(() =>
      agentOn(net.fetch, { binding: 'bearer' }).receive(handover),
    );
    expect(bearer.message).toBe('a delegated token is bound to a key');
    const plain = await refusalOf(() =>
      agentOn(net.fetch).receive({ ...handover, audience: 'http://erp.example' }),
    );
    expect(plain.code).toBe('OPTION_INVALID');
  });
});

describe('renew', () => {
  it('asks for another first token of the task, with the token and its key', async () => {
    const { agent, held, net } = await holder();
    const next = await agent.renew(held, { resource: 'https://crm.example', requested: [READ] });
    const request = net.to(`${ISSUER}/token`)[1];
    const form = new URLSearchParams(request?.body);
    expect(form.get('subject_token')).toBe(TOKEN);
    expect(form.get('resource')).toBe('https://crm.example');
    expect(form.has('actor_token')).toBe(false);
    expect(form.has('actor_token_type')).toBe(false);
    expect(JSON.parse(form.get('authorization_details') ?? '')).toEqual([
      { type: 'urn:remit:capability:1', ...READ },
    ]);
    verifyProof({
      proof: request?.headers.get('dpop') ?? '',
      method: 'POST',
      url: `${ISSUER}/token`,
      accessToken: TOKEN,
      ...proofWindow,
    });
    expect(next.audience).toBe('https://crm.example');
    expect(next.token).toBe(CHILD);
  });

  it('leaves what is not asked for as it was', async () => {
    const { agent, held, net } = await holder();
    const next = await agent.renew(held);
    const form = new URLSearchParams(net.to(`${ISSUER}/token`)[1]?.body);
    expect(form.get('resource')).toBe(TOOL);
    expect(form.has('authorization_details')).toBe(false);
    expect(next.audience).toBe(held.audience);
  });
});
