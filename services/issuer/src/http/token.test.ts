import { createHash } from 'node:crypto';
import { importVerifyKey, readCapability, verifyCapabilitySignature } from '@remit/capability';
import type { MintRequest } from '@remit/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow, READ } from '../test/fake-services.ts';
import { agent } from '../test/registry-bodies.ts';
import { DETAILS, ISSUER, startWorld, TOOL, type World } from '../test/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.mint = (request) => allow(request);
  world.services.during = () => {};
  world.services.asked.length = 0;
});

function open(token: unknown) {
  const keys = world.infra.keys.tokenPublicKeys('acme').map(importVerifyKey);
  return verifyCapabilitySignature(String(token), {
    keys: (kid) => keys.find((key) => key.kid === kid),
    algorithms: ['ML-DSA-65', 'ML-DSA-44', 'Ed25519'],
  });
}

describe('a launch that everything allows', () => {
  it('answers with one capability token, as RFC 8693 says it', async () => {
    const { status, headers, body } = await world.ask();
    const [kept] = await world.records(1);
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('application/json; charset=utf-8');
    expect(headers['cache-control']).toBe('no-store');
    expect(headers.pragma).toBe('no-cache');
    expect(body).toEqual({
      access_token: expect.any(String),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'DPoP',
      expires_in: 300,
      authorization_details: [{ type: 'urn:remit:capability:1', ...READ }],
      task: {
        id: expect.stringMatching(/^task_[A-Za-z0-9_-]{22}$/),
        type: 'supplier-risk-summary',
        until: world.clock.nowSeconds() + 3_600,
      },
    });
    const { header, payload } = open(body.access_token);
    expect(header).toEqual({ alg: 'ML-DSA-65', kid: expect.any(String) });
    const now = world.clock.nowSeconds();
    expect(payload).toEqual({
      iss: ISSUER,
      aud: TOOL,
      jti: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
      iat: now,
      nbf: now,
      exp: now + 300,
      sub: 'alice',
      act: { sub: 'procurement-agent' },
      client_id: 'procurement-agent',
      tenant: 'acme',
      task: {
        id: (body.task as { id: string }).id,
        type: 'supplier-risk-summary',
        purpose: 'Summarise the risk of one supplier',
      },
      authorization_details: [{ type: 'urn:remit:capability:1', ...READ }],
      lineage: [],
      depth: { used: 0, max: 2 },
      rev: { epoch: 'epoch-01', seq: 7 },
      status: {
        status_list: { idx: expect.any(Number), uri: expect.stringContaining('/status/') },
      },
      policy: { version: 'sha256:policies', decision: 'decision-1' },
      cnf: { jkt: world.proofKey.kid },
      links: true,
    });
    expect(kept?.record).toMatchObject({
      event: 'token.issued',
      decision: 'allow',
      reason: 'permitted',
      actor: 'procurement-agent',
      act_chain: ['procurement-agent'],
      origin_agent: 'procurement-agent',
      client: 'procurement-agent',
      task: { id: (body.task as { id: string }).id, type: 'supplier-risk-summary' },
      audience: TOOL,
      scope: [READ],
      dimensions: { agent: 'allow', user: 'allow', task: 'allow', policies: 'allow' },
      policies: ['platform'],
      policy_version: 'sha256:policies',
      registry_revision: 3,
      decision_id: 'decision-1',
      token: {
        jti: payload.jti,
        lineage: [],
        exp: now + 300,
        jkt: world.proofKey.kid,
        alg: 'ML-DSA-65',
        kid: header.kid,
        rev: { epoch: 'epoch-01', seq: 7 },
      },
    });
    expect(kept?.disclosures['/principal']?.value).toBe('alice');
  });

  // Red when the look-up for the decision or the decision moves before `readHead`.
  it('reads the head first, then the facts, then asks, then registers', async () => {
    await world.ask();
    await world.records(1);
    const steps = world.services.asked
      .map(({ method }) => method)
      .filter((method) => method !== 'registry.body');
    expect(steps).toEqual([
      'registry.lookup',
      'revocation.check',
      'registry.lookup',
      'pdp.mint',
      'revocation.register',
    ]);
    const bodyOf = (method: string) =>
      world.services.asked.filter((one) => one.method === method).at(-1)?.body;
    expect(bodyOf('revocation.check')).toMatchObject({
      tokens: [],
      tasks: [],
      keys: [
        world.clientKey.kid,
        world.infra.keys.tokenPublicKeys('acme')[0]?.kid,
        world.proofKey.kid,
      ],
    });
    expect(bodyOf('registry.lookup')).toEqual({
      actors: ['procurement-agent'],
      user: { iss: world.idp.issuer, sub: 'alice-at-idp' },
      task_type: 'supplier-risk-summary',
      audience: TOOL,
    });
    expect(bodyOf('pdp.mint')).toEqual({
      actors: ['procurement-agent'],
      user: 'alice',
      client: 'procurement-agent',
      audience: TOOL,
      task: {
        id: expect.stringMatching(/^task_/),
        type: 'supplier-risk-summary',
        slots: { supplier: 'S-100' },
      },
      narrow: false,
    });
    expect(bodyOf('revocation.register')).toMatchObject({
      lineage: [],
      actors: ['procurement-agent'],
      user: 'alice',
      client: 'procurement-agent',
      keys: [world.proofKey.kid, world.infra.keys.tokenPublicKeys('acme')[0]?.kid],
    });
  });

  // Red when `rev` is taken from anywhere but the check before the decision.
  it('carries the head from before the decision, however far the feed has moved since', async () => {
    const before = { ...world.services.head };
    world.services.during = (method) => {
      if (method !== 'revocation.check') world.services.head = { epoch: 'epoch-01', seq: 99 };
    };
    try {
      const { body } = await world.ask();
      await world.records(1);
      // The first look-up is for authentication and moves the head: 99 is what the check reads.
      expect(readCapability(open(body.access_token).payload).rev).toEqual({
        epoch: 'epoch-01',
        seq: 99,
      });
      world.services.head = before;
      world.services.during = (method) => {
        if (method === 'pdp.mint') world.services.head = { epoch: 'epoch-02', seq: 1 };
      };
      const second = await world.ask();
      await world.records(1);
      expect(readCapability(open(second.body.access_token).payload).rev).toEqual({
        epoch: 'epoch-01',
        seq: 7,
      });
    } finally {
      world.services.head = before;
    }
  });

  it('keeps ids and thumbprints, and no token, proof or assertion anywhere', async () => {
    const form = await world.form();
    const proof = world.proof();
    const { body } = await world.post(form, { proof });
    await world.records(1);
    const [tasks, assertions, proofs] = await Promise.all([
      world.rows('tasks'),
      world.rows('assertions'),
      world.rows('dpop_proofs'),
    ]);
    const id = (body.task as { id: string }).id;
    expect(tasks.find((row) => row.id === id)).toEqual({
      tenant: 'acme',
      id,
      type: 'supplier-risk-summary',
      user_id: 'alice',
      origin_agent: 'procurement-agent',
      jkt: world.proofKey.kid,
      ceiling: [READ],
      purpose: 'Summarise the risk of one supplier',
      until: new Date(world.clock.now() + 3_600_000),
      created_at: expect.any(Date),
    });
    const seen = [tasks, assertions, proofs, world.services.asked, world.logLines];
    const everything = JSON.stringify(seen);
    for (const secret of [body.access_token, form.subject_token, form.client_assertion, proof]) {
      const [header = '', payload = '', signature = ''] = String(secret).split('.');
      expect(everything).not.toContain(signature);
      expect(everything).not.toContain(payload);
      expect(header).not.toBe('');
    }
    const jti = (jws: string) =>
      (JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString()) as { jti: string })
        .jti;
    expect(proofs.map((row) => row.jti_hash)).toContain(
      createHash('sha256').update(jti(proof)).digest('base64url'),
    );
  });

  it('hands on what the client asked for, and says that it wrote a list', async () => {
    const wanted = { ...READ, resources: ['erp/suppliers/*'] };
    let asked: MintRequest | undefined;
    world.services.mint = (request) => {
      asked = request;
      return { ...allow(request), permissions: [READ] };
    };
    const details = [
      { ...DETAILS[0], narrow: true },
      { type: 'urn:remit:capability:1', ...wanted },
    ];
    const { status, body } = await world.ask({ authorization_details: JSON.stringify(details) });
    const [kept] = await world.records(1);
    expect(status).toBe(200);
    expect(asked).toMatchObject({ requested: [wanted], narrow: true });
    expect(body.authorization_details).toEqual([{ type: 'urn:remit:capability:1', ...READ }]);
    expect(kept?.record.detail).toEqual({ grant: 'launch', token_type: 'DPoP', asked: 'list' });
  });

  it('ends with the task, and is single use or without links where the task type says so', async () => {
    world.services.mint = (request) =>
      allow(request, { until_seconds: 60, single_use: true, links: false, depth_max: 0 });
    const { body } = await world.ask();
    await world.records(1);
    const capability = readCapability(open(body.access_token).payload);
    expect(body.expires_in).toBe(60);
    expect(capability.expiresAt).toBe(world.clock.nowSeconds() + 60);
    expect(capability.singleUse).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(capability.links).toBe(false);
    expect(capability.depth).toEqual({ used: 0, max: 0 });
  });

  it('is signed as the registry says for the agent', async () => {
    const { agents } = world.services.tenants.get('acme') ?? {};
    const before = agents?.get('procurement-agent');
    agents?.set('procurement-agent', {
      status: 'active',
      body: agent('procurement-agent', world.clientKey, { signing_alg: 'Ed25519' }),
    });
    const { status, body } = await world.ask();
    if (before) agents?.set('procurement-agent', before);
    // The seeded tenant has an ML-DSA-65 key alone: nothing is signed with another algorithm instead.
    expect({ status, body }).toEqual({
      status: 500,
      body: { error: 'server_error', error_description: 'Something failed inside.' },
    });
    const [kept] = await world.records(1);
    expect(kept?.record).toMatchObject({ event: 'token.refused', reason: 'internal' });
  });
});

describe('the binding of a token', () => {
  it('is missing only for an agent that the registry allows bearer, and only without a proof', async () => {
    const curl = async (proof: string | null) => {
      const { agents } = world.services.tenants.get('acme') ?? {};
      const before = agents?.get('procurement-agent');
      agents?.set('procurement-agent', {
        status: 'active',
        body: agent('procurement-agent', world.clientKey, { bearer: true }),
      });
      const answer = await world.ask({}, { proof });
      if (before) agents?.set('procurement-agent', before);
      await world.records(1);
      return answer.body;
    };
    const bearer = await curl(null);
    expect(bearer.token_type).toBe('Bearer');
    const claims = open(bearer.access_token).payload;
    expect(claims).not.toHaveProperty('cnf');
    // Links are signed by the key that a token is bound to; there is none.
    expect(claims).not.toHaveProperty('links');
    const bound = await curl(world.proof());
    expect(bound.token_type).toBe('DPoP');
    expect(open(bound.access_token).payload.cnf).toEqual({ jkt: world.proofKey.kid });
  });

  it('is required of everybody else', async () => {
    const { status, body } = await world.ask({}, { proof: null });
    expect(status).toBe(400);
    expect(body).toMatchObject({
      error: 'invalid_request',
      error_description: 'A DPoP proof is required.',
      reason: 'proof_required',
    });
    const [kept] = await world.records(1);
    expect(kept?.record.reason).toBe('proof_required');
    expect(world.services.asked.map(({ method }) => method)).not.toContain('pdp.mint');
  });
});
