import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow } from '../test/fake-services.ts';
import { expectRefused, type HeldWorld, ONE, startHeldWorld } from '../test/held.ts';

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
