import { scope } from '@remit/capability';
import type { PermissionJson } from '@remit/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow, deny } from '../test/fake-services.ts';
import {
  details,
  expectRefused,
  type HeldWorld,
  JWT,
  ONE,
  startHeldWorld,
  THREE,
} from '../test/held.ts';
import { agent } from '../test/registry-bodies.ts';

let world: HeldWorld;
beforeAll(async () => {
  world = await startHeldWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.mint = (request) => allow(request);
  world.services.revoked = () => undefined;
});

const REFUSED = 'invalid_request';
const TASK = { type: 'urn:remit:task:1', task_type: 'supplier-risk-summary', slots: {} };

describe('a delegation is refused before anything is decided', () => {
  it.each([
    ['no actor token type', { actor_token_type: undefined }, 'actor_token_type is missing.'],
    [
      'an actor token of another type',
      { actor_token_type: 'urn:ietf:params:oauth:token-type:access_token' },
      'actor_token_type is not supported.',
    ],
    [
      'an actor token type without actor token',
      { actor_token: undefined },
      'actor_token is missing.',
    ],
    ['no details', { authorization_details: undefined }, 'authorization_details is missing.'],
  ])('with %s', async (_, form, description) => {
    const { token } = world.held();
    await expectRefused(world, () => world.delegate(token, form), {
      error: REFUSED,
      reason: 'request_malformed',
      description,
    });
    expect(world.services.asked.map(({ method }) => method)).not.toContain('pdp.mint');
  });

  it.each([
    ['no permission', [], 'No permission is asked for.'],
    ['a task', [TASK], 'The task is that of the subject token.'],
    [
      'a task beside a permission',
      [TASK, { type: 'urn:remit:capability:1', ...ONE }],
      'The task is that of the subject token.',
    ],
    ['another type', [{ type: 'payment' }], 'An authorization detail has an unknown type.'],
    [
      'a permission without actions',
      [{ type: 'urn:remit:capability:1', resources: ['erp/suppliers/S-100'], args: [] }],
      'Permission 0 is not well-formed.',
    ],
    [
      'a member that is not known',
      [{ type: 'urn:remit:capability:1', ...ONE, unless: 'x' }],
      'Permission 0 is not well-formed.',
    ],
  ])('with details of %s', async (_, list, description) => {
    const { token } = world.held();
    const form = { authorization_details: JSON.stringify(list) };
    await expectRefused(world, () => world.delegate(token, form), {
      error: 'invalid_authorization_details',
      reason: 'request_malformed',
      description,
    });
  });

  it('with a resource other than the audience of the parent', async () => {
    const { token } = world.held();
    for (const resource of ['https://other.test', 'https://erp.test/']) {
      await expectRefused(world, () => world.delegate(token, { resource }), {
        error: 'invalid_target',
        reason: 'target_unknown',
        description: 'A delegated token has the audience of its parent.',
      });
    }
  });
});

describe('the holder', () => {
  // Red when `checkHolder` compares nothing: whoever found a token could name itself into it.
  it('is the outermost actor and nobody else', async () => {
    const chains = [
      ['risk-analyst'],
      ['procurement-agent', 'risk-analyst'],
      ['risk-analyst', 'origin-agent'],
    ];
    for (const actors of chains) {
      const { token } = world.held({
        actors,
        lineage: ['a-1'],
        depth: { used: 1, max: 2 },
      });
      const { record, principal } = await expectRefused(world, () => world.delegate(token), {
        error: REFUSED,
        reason: 'holder_mismatch',
        description: 'The subject token was issued to another agent.',
      });
      // The token says whose task it is; who presented it is the client alone.
      expect(principal).toBe('alice');
      expect(record.act_chain).toEqual(['procurement-agent']);
    }
  });

  // Each row goes red when `verifyHolderProof` leaves its part of the check out.
  it.each([
    ['without a proof', () => null, REFUSED, 'proof_required'],
    ['with a proof without ath', () => world.proof(), 'invalid_dpop_proof', 'proof_binding'],
    [
      'with a proof for another token',
      () => world.proofFor(world.held().token),
      'invalid_dpop_proof',
      'proof_binding',
    ],
    [
      'with the key of the next actor',
      (token: string) => world.proofFor(token, { signer: world.analyst.proof }),
      'invalid_dpop_proof',
      'proof_key',
    ],
    [
      'with its client key',
      (token: string) => world.proofFor(token, { signer: world.clientKey }),
      'invalid_dpop_proof',
      'proof_key',
    ],
    [
      'with an old proof',
      (token: string) => world.proofFor(token, { nowSeconds: world.clock.nowSeconds() - 31 }),
      'invalid_dpop_proof',
      'proof_expired',
    ],
    [
      'with a proof for the tool',
      (token: string) => world.proofFor(token, { url: 'https://erp.test/suppliers/S-100' }),
      'invalid_dpop_proof',
      'proof_binding',
    ],
  ])('is refused %s', async (_, make, error, reason) => {
    const { token } = world.held();
    const proof = make(token);
    await expectRefused(world, () => world.delegate(token, {}, { proof }), { error, reason });
  });

  it('may use a proof once', async () => {
    const { token } = world.held();
    const proof = world.proofFor(token);
    expect((await world.delegate(token, {}, { proof })).status).toBe(200);
    await world.records(1);
    await expectRefused(world, () => world.delegate(token, {}, { proof }), {
      error: 'invalid_dpop_proof',
      reason: 'proof_replayed',
    });
  });

  it('of a token without a key shows none, and of one bound to a certificate cannot', async () => {
    const { token } = world.held({ links: false }, { bearer: true });
    await expectRefused(world, () => world.delegate(token), {
      error: 'invalid_dpop_proof',
      reason: 'proof_scheme',
    });
    const mtls = world.held({ confirmation: { x5tS256: 'x'.repeat(43) } }).token;
    await expectRefused(world, () => world.delegate(mtls), {
      error: 'invalid_dpop_proof',
      reason: 'proof_key',
    });
  });
});

describe('the subject token', () => {
  const now = () => world.clock.nowSeconds();
  // Each row goes red when `verifyHeldToken` or `checkHolder` leaves its check out.
  it.each([
    [
      'that expired',
      () => world.held({ issuedAt: now() - 9, notBefore: now() - 9, expiresAt: now() }).token,
      'token_expired',
    ],
    [
      'that is not valid yet',
      () => world.held({ notBefore: now() + 60 }).token,
      'token_not_yet_valid',
    ],
    ['of another issuer', () => world.held({ issuer: 'https://evil.test' }).token, 'token_issuer'],
    ['of another tenant', () => world.held({ tenant: 'globex' }).token, 'token_issuer'],
    ['that is no JWT', () => 'x.y.z', 'token_malformed'],
    ['that is an ID token', () => world.idp.idToken(), 'token_algorithm'],
    [
      'whose signature was changed',
      () => {
        const [header, , signature] = world.held().token.split('.');
        const [, payload] = world.held({ subject: 'bob' }).token.split('.');
        return `${header}.${payload}.${signature}`;
      },
      'token_signature',
    ],
    ['of another type', () => world.sign({}, { typ: 'JWT' }), 'token_malformed'],
    ['with act that is no object', () => signed({ act: 'procurement-agent' }), 'token_malformed'],
    [
      'with depth that was reset',
      () => signed({ depth: { used: 0, max: 2 }, lineage: ['a'] }),
      'token_malformed',
    ],
    ['with two chains', () => `${world.held().token}~${world.held().token}`, 'token_malformed'],
  ])('%s is refused', async (_, make, reason) => {
    const token = await make();
    await expectRefused(world, () => world.delegate(token), { error: REFUSED, reason });
    expect(world.services.asked.map(({ method }) => method)).not.toContain('pdp.mint');
  });

  it('of another tenant’s issuer is signed with a key that is not published here', async () => {
    const { token } = world.held();
    const answer = await world.post(
      await world.form({
        client_assertion: world.assertion({ aud: 'https://issuer.test/t/globex' }),
        subject_token: token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        resource: undefined,
        authorization_details: details(ONE),
        actor_token: world.actorToken({ aud: 'https://issuer.test/t/globex' }),
        actor_token_type: JWT,
      }),
      {
        tenant: 'globex',
        proof: world.proofFor(token, { url: 'https://issuer.test/t/globex/token' }),
      },
    );
    await world.records(1);
    expect(answer.body).toMatchObject({ error: REFUSED, reason: 'token_key_unknown' });
  });

  it('that has no second left is not handed on', async () => {
    const { token } = world.held({ expiresAt: now() + 1 });
    await expectRefused(world, () => world.delegate(token), {
      error: REFUSED,
      reason: 'lifetime_spent',
      description: 'The subject token is about to expire.',
    });
  });

  function signed(changes: Record<string, unknown>): string {
    const [, payload = ''] = world.held().token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    return world.sign({ ...claims, ...changes });
  }
});

describe('what is revoked is not handed on', () => {
  it.each([
    ['token', false, 'token_revoked'],
    ['token', true, 'ancestor_revoked'],
    ['link', true, 'ancestor_revoked'],
    ['task', false, 'task_revoked'],
    ['agent', false, 'agent_revoked'],
    ['user', false, 'user_revoked'],
    ['client', false, 'client_revoked'],
    ['tenant', false, 'tenant_revoked'],
    ['key', false, 'key_revoked'],
  ] as const)('%s (ancestor: %s)', async (kind, ancestor, reason) => {
    world.services.revoked = () => ({ kind, id: 'some-id', ancestor });
    const { token } = world.held();
    const { principal } = await expectRefused(world, () => world.delegate(token), {
      error: REFUSED,
      reason,
      description: 'The subject token is revoked.',
    });
    expect(principal).toBe('alice');
    expect(world.services.asked.map(({ method }) => method)).not.toContain('pdp.mint');
  });

  it('and neither is what was decided under another epoch, or ahead of the head', async () => {
    world.services.revoked = () => ({ kind: 'tenant', id: 'acme', ancestor: false });
    const cases = [
      [{ epoch: 'epoch-00', seq: 5 }, 'epoch_ended'],
      [{ epoch: 'epoch-01', seq: 8 }, 'status_behind'],
    ] as const;
    for (const [rev, reason] of cases) {
      const { token } = world.held({ rev });
      await expectRefused(world, () => world.delegate(token), { error: REFUSED, reason });
    }
  });

  it.each([
    [
      'the key of the next actor',
      () => world.analyst.client.kid,
      REFUSED,
      'A key of the next actor is revoked.',
    ],
    [
      'the key to bind to',
      () => world.analyst.proof.kid,
      REFUSED,
      'A key of the next actor is revoked.',
    ],
    [
      'the key of the holder',
      () => world.proofKey.kid,
      'invalid_dpop_proof',
      'The key of the DPoP proof is revoked.',
    ],
  ])('%s', async (_, key, error, description) => {
    world.services.revoked = () => ({ kind: 'key', id: key(), ancestor: false });
    const { token } = world.held();
    await expectRefused(world, () => world.delegate(token), {
      error,
      reason: 'key_revoked',
      description,
    });
  });
});

describe('the next actor', () => {
  it('may not be in the chain already, the holder itself included', async () => {
    const own = (claims: object) =>
      world.clientKey.sign(
        { typ: 'remit-actor+jwt' },
        {
          ...claims,
          iss: 'procurement-agent',
          sub: 'procurement-agent',
          aud: 'https://issuer.test/t/acme',
          jti: crypto.randomUUID(),
          iat: world.clock.nowSeconds(),
          exp: world.clock.nowSeconds() + 60,
        },
      );
    const { token } = world.held();
    const actor_token = own({ cnf: { jkt: world.analyst.proof.kid } });
    await expectRefused(world, () => world.delegate(token, { actor_token }), {
      error: REFUSED,
      reason: 'actor_repeated',
      description: 'The agent acts in the chain already.',
    });
    const second = world.held({
      actors: ['risk-analyst', 'procurement-agent'],
      lineage: ['a-1'],
      depth: { used: 1, max: 2 },
    });
    const { record } = await expectRefused(world, () => world.delegate(second.token), {
      error: REFUSED,
      reason: 'actor_repeated',
    });
    expect(record).toMatchObject({
      origin_agent: 'risk-analyst',
      act_chain: ['risk-analyst', 'procurement-agent'],
      token: { jti: second.capability.id, lineage: ['a-1'] },
      detail: { next_actor: 'risk-analyst' },
    });
  });

  it('is one more hop, of which there are as many as the first token says', async () => {
    const spent = [
      world.held({ depth: { used: 0, max: 0 } }),
      world.held({ lineage: ['a', 'b'], depth: { used: 2, max: 2 } }),
    ];
    for (const { token } of spent) {
      await expectRefused(world, () => world.delegate(token), {
        error: REFUSED,
        reason: 'depth_exceeded',
        description: 'The subject token cannot be handed on any further.',
      });
      expect(world.services.asked.map(({ method }) => method)).not.toContain('revocation.check');
    }
  });

  it('is one that may_act names, with the key that it names', async () => {
    const entry = { sub: 'risk-analyst', jkt: world.analyst.proof.kid, scope: scope([THREE]) };
    const lists = [[], [{ ...entry, sub: 'origin-agent' }], [{ ...entry, jkt: 'j'.repeat(43) }]];
    for (const mayAct of lists) {
      const { token } = world.held({ mayAct });
      await expectRefused(world, () => world.delegate(token), {
        error: REFUSED,
        reason: 'actor_not_named',
      });
    }
    const less = { ...entry, scope: scope([{ ...THREE, actions: ['suppliers.read'] }]) };
    const { token } = world.held({ mayAct: [less] });
    await expectRefused(world, () => world.delegate(token), {
      error: 'invalid_authorization_details',
      reason: 'task_scope',
    });
  });

  it('brings a key of its own, not that of the caller', async () => {
    const { token } = world.held();
    const actor_token = world.actorToken({ cnf: { jkt: world.proofKey.kid } });
    await expectRefused(world, () => world.delegate(token, { actor_token }), {
      error: REFUSED,
      reason: 'actor_token_invalid',
      description: 'actor_token names the key of the caller.',
    });
  });

  it('says so once per token, for whichever parent', async () => {
    const actor_token = world.actorToken();
    expect((await world.delegate(world.held().token, { actor_token })).status).toBe(200);
    await world.records(1);
    const other = world.held({ subject: 'bob' });
    await expectRefused(world, () => world.delegate(other.token, { actor_token }), {
      error: REFUSED,
      reason: 'actor_token_replayed',
      description: 'actor_token was used before.',
    });
  });

  it('is active, as all agents of the chain are', async () => {
    const agents = world.services.tenants.get('acme')?.agents;
    for (const id of ['risk-analyst', 'origin-agent']) {
      const before = agents?.get(id);
      if (!before) throw new Error(`${id} is not there`);
      agents?.set(id, { ...before, status: 'inactive' });
      const { token } = world.held({
        actors: ['origin-agent', 'procurement-agent'],
        lineage: ['a-1'],
        depth: { used: 1, max: 2 },
      });
      const { body } = await expectRefused(world, () => world.delegate(token), {
        error: REFUSED,
        reason: 'agent_inactive',
      });
      expect(body.dimension).toBe('agent');
      agents?.set(id, before);
    }
  });

  // Red when the second look-up is left out: a key that was taken away during the request still counts.
  it('still has its key when the decision is asked for', async () => {
    const agents = world.services.tenants.get('acme')?.agents;
    const before = agents?.get('risk-analyst');
    world.services.during = (method) => {
      if (method !== 'revocation.check') return;
      const body = agent('risk-analyst', world.clientKey);
      agents?.set('risk-analyst', { body, status: 'active' });
    };
    try {
      const { token } = world.held();
      await expectRefused(world, () => world.delegate(token), {
        error: REFUSED,
        reason: 'actor_token_invalid',
        description: 'actor_token does not verify.',
      });
    } finally {
      world.services.during = () => {};
      if (before) agents?.set('risk-analyst', before);
    }
  });
});

describe('the scope of a child', () => {
  it('is refused by the decision with the part of the request and the dimension', async () => {
    world.services.mint = () =>
      deny('task_scope', {
        dimension: 'task',
        dimensions: {
          agent: 'not_evaluated',
          user: 'not_evaluated',
          task: 'deny',
          policies: 'not_evaluated',
        },
        refused: { permission: 0 },
      });
    const { token } = world.held();
    const { body, record } = await expectRefused(world, () => world.delegate(token), {
      error: 'invalid_authorization_details',
      reason: 'task_scope',
    });
    expect(body).toMatchObject({ dimension: 'task', refused: { permission: 0 } });
    expect(record.dimensions?.task).toBe('deny');
  });

  const parent: PermissionJson = {
    actions: ['orders.create'],
    resources: ['erp/orders/*'],
    args: ['amount', 'currency'],
    constraints: { amount: { min: 0, max: 5_000 }, currency: { in: ['EUR'] } },
    check: 'online',
  };
  const child: PermissionJson = { ...parent, resources: ['erp/orders/O-1'] };
  // Red when `checkChild` leaves the scope out: here a decision allows whatever it is asked.
  it.each<[string, Partial<PermissionJson>]>([
    ['another action', { actions: ['orders.create', 'orders.delete'] }],
    ['any action', { actions: ['**'] }],
    ['another resource', { resources: ['erp/payments/P-1'] }],
    ['a deeper resource', { resources: ['erp/orders/**'] }],
    ['another case', { resources: ['erp/Orders/O-1'] }],
    ['any arguments', { args: 'any' }],
    ['one more argument', { args: ['amount', 'currency', 'supplier'] }],
    ['no constraint', { constraints: {} }],
    [
      'a larger maximum',
      { constraints: { amount: { min: 0, max: 5_001 }, currency: { in: ['EUR'] } } },
    ],
    [
      'a smaller minimum',
      { constraints: { amount: { min: -1, max: 5_000 }, currency: { in: ['EUR'] } } },
    ],
    [
      'another currency',
      { constraints: { amount: { min: 0, max: 5_000 }, currency: { in: ['EUR', 'USD'] } } },
    ],
    [
      'a constraint that is optional',
      {
        constraints: { amount: { min: 0, max: 5_000, optional: true }, currency: { in: ['EUR'] } },
      },
    ],
  ])('is never wider: %s', async (_, wider) => {
    const { token } = world.held({ scope: scope([parent]) });
    const form = { authorization_details: details({ ...child, ...wider }) };
    const { body } = await expectRefused(world, () => world.delegate(token, form), {
      error: 'invalid_authorization_details',
      reason: 'task_scope',
      description: 'The request is wider than what may be handed to this agent.',
    });
    expect(body.dimension).toBe('task');
  });

  it('is never local where the parent is online', async () => {
    const { check: _, ...local } = child;
    const { token } = world.held({ scope: scope([parent]) });
    await expectRefused(
      world,
      () => world.delegate(token, { authorization_details: details(local) }),
      { error: 'invalid_authorization_details', reason: 'task_scope' },
    );
  });

  it('is never made of two parents', async () => {
    const { token } = world.held({
      scope: scope([{ ...THREE, resources: ['erp/suppliers/S-1'] }]),
    });
    const other = world.held({ scope: scope([ONE]) });
    const twice = { subject_token: [token, other.token] };
    const { status } = await world.delegate(token, twice);
    expect(status).toBe(400);
    await expectRefused(world, () => world.delegate(token), {
      error: 'invalid_authorization_details',
      reason: 'task_scope',
    });
  });

  it('gives something up', async () => {
    const { token } = world.held();
    await expectRefused(
      world,
      () => world.delegate(token, { authorization_details: details(THREE) }),
      {
        error: 'invalid_authorization_details',
        reason: 'not_narrower',
        description: 'The request gives nothing of the subject token up.',
      },
    );
  });
});
