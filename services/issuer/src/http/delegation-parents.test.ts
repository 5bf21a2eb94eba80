import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow } from '../test/fake-services.ts';
import { details, expectRefused, type HeldWorld, JWT, ONE, startHeldWorld } from '../test/held.ts';

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
    ['with two chains', () => `${world.held().token}~${world.held().token}`, 'link_malformed'],
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
