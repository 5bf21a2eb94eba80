import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { importSigner, type Signer } from '@remit/capability';
import type { PublicJwk } from '@remit/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type HeldWorld, startHeldWorld } from '../test/held.ts';
import { ISSUER, TOOL } from '../test/world.ts';

const OTHER = 'https://other.test';
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

let world: HeldWorld;
const erp = newSigner();
const other = newSigner();
beforeAll(async () => {
  world = await startHeldWorld();
  const acme = world.services.tenants.get('acme');
  for (const audience of [OTHER, 'https://keyless.test']) acme?.audiences.add(audience);
  if (acme) {
    acme.toolKeys = new Map([
      [TOOL, [jwk(erp)]],
      [OTHER, [jwk(other)]],
    ]);
  }
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.asked.length = 0;
});
afterEach(() => {
  world.services.entries = [];
  world.services.revokedKeys.clear();
  world.services.revoked = () => undefined;
});

function newSigner(): Signer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return importSigner({ ...privateKey.export({ format: 'jwk' }) });
}

function jwk({ publicJwk }: Signer): PublicJwk {
  return publicJwk as PublicJwk;
}

/** A resource server's word who it is. */
function assertionOf(signer: Signer, id: string, claims: object = {}): string {
  const now = world.clock.nowSeconds();
  return signer.sign(
    { typ: 'client-authentication+jwt' },
    { iss: id, sub: id, aud: ISSUER, jti: randomUUID(), iat: now, exp: now + 60, ...claims },
  );
}

async function post(path: string, form: Record<string, string>, headers: object = {}) {
  const response = await world.app.http.inject({
    method: 'POST',
    url: `/t/acme/${path}`,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    payload: new URLSearchParams(form).toString(),
  });
  return {
    status: response.statusCode,
    headers: response.headers,
    body: response.json<Record<string, unknown>>(),
  };
}

const introspect = (token: string, assertion = assertionOf(erp, TOOL), more: object = {}) =>
  post('introspect', {
    token,
    client_assertion_type: ASSERTION,
    client_assertion: assertion,
    ...more,
  });

const revoke = (token: string, assertion = world.assertion(), more: object = {}) =>
  post('revoke', { token, client_assertion_type: ASSERTION, client_assertion: assertion, ...more });

const methods = () => world.services.asked.map(({ method }) => method);

describe('introspection', () => {
  const claimsOf = (token: string) =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as object;

  it('gives the tool of its audience the claims of a live token, and how it must come', async () => {
    const held = world.held({
      actors: ['origin-agent', 'procurement-agent'],
      lineage: ['first-1'],
      depth: { used: 1, max: 2 },
      singleUse: 'use-1',
    });
    for (const hint of [{}, { token_type_hint: 'refresh_token' }, { client_id: TOOL }]) {
      const { status, headers, body } = await introspect(held.token, undefined, hint);
      expect([status, headers['cache-control']]).toEqual([200, 'no-store']);
      expect(body).toEqual({ ...claimsOf(held.token), active: true, token_type: 'DPoP' });
    }
    const bearer = world.held({}, { bearer: true });
    expect((await introspect(bearer.token)).body).toEqual({
      ...claimsOf(bearer.token),
      active: true,
      token_type: 'Bearer',
    });
  });

  // Red when `introspect` does not compare the audience.
  it('says of everything else the same: not active', async () => {
    const { token } = world.held();
    const now = world.clock.nowSeconds();
    const [head, , signature] = token.split('.');
    const foreign = newSigner();
    for (const [what, text, assertion] of [
      ['a token for another tool', token, assertionOf(other, OTHER)],
      ['text that is no token', 'x', undefined],
      ['another payload', `${head}.e30.${signature}`, undefined],
      ['a token of another key', foreign.sign({ typ: 'at+jwt' }, claimsOf(token)), undefined],
      ['a chain', `${token}~${token}`, undefined],
      [
        'one that ended',
        world.held({ issuedAt: now - 400, notBefore: now - 400, expiresAt: now - 31 }).token,
        undefined,
      ],
      ['one that has not begun', world.held({ notBefore: now + 60 }).token, undefined],
      ['one of another tenant', world.held({ tenant: 'globex' }).token, undefined],
      [
        'one of another issuer',
        world.held({ issuer: 'https://issuer.test/t/globex' }).token,
        undefined,
      ],
      ['an ID token', await world.idp.idToken(), undefined],
    ] as const) {
      const { status, body } = await introspect(text, assertion);
      expect([status, body], what).toEqual([200, { active: false }]);
    }
    await expect(introspect('')).resolves.toMatchObject({ status: 400 });
  });

  // Red when the check's answer is not looked at.
  it('asks what is revoked at this moment', async () => {
    const { token, capability } = world.held();
    world.services.revoked = ({ tokens }) =>
      tokens[0] && { kind: 'user', id: tokens[0].user, ancestor: false };
    expect((await introspect(token)).body).toEqual({ active: false });
    expect(world.services.asked.find(({ method }) => method === 'revocation.check')?.body).toEqual(
      expect.objectContaining({
        tokens: [
          expect.objectContaining({
            jti: capability.id,
            task: capability.task.id,
            user: 'alice',
            keys: [world.proofKey.kid, expect.any(String)],
          }),
        ],
      }),
    );
  });

  // Red when `lives` is asked before the revocation service alone.
  it('does not call a token active that ended while it was looked into', async () => {
    const { token } = world.held();
    world.services.during = (method) => {
      if (method === 'revocation.since') world.clock.advance(400_000);
    };
    expect((await introspect(token)).body).toEqual({ active: false });
    world.services.during = () => {};
  });

  // Red when rechecks are not asked for: a resource server would go on after a role was taken away.
  it('gives permissions as online once what the token was decided from may have changed', async () => {
    const { token, capability } = world.held();
    const recheck = {
      epoch: 'epoch-01',
      verb: 'recheck' as const,
      kind: 'tenant' as const,
      id: 'acme',
      at: 0,
    };
    const checks = async () =>
      ((await introspect(token)).body.authorization_details as { check?: string }[]).map(
        ({ check }) => check,
      );
    world.services.entries = [{ ...recheck, seq: capability.rev.seq }];
    expect(await checks()).toEqual([undefined]);
    world.services.entries = [{ ...recheck, seq: capability.rev.seq + 1 }];
    expect(await checks()).toEqual(['online']);
  });

  // Red when an answer without entries is taken for one that nothing changed.
  it('gives permissions as online where nobody knows any more what changed since', async () => {
    const { token, capability } = world.held();
    world.services.entries = [];
    world.services.floor = capability.rev.seq + 1;
    const { body } = await introspect(token);
    world.services.floor = 0;
    expect(body.authorization_details).toMatchObject([{ check: 'online' }]);
  });

  it('is for tools that prove a registered key, and for nobody else', async () => {
    const { token } = world.held();
    const stranger = newSigner();
    const good = assertionOf(erp, TOOL);
    expect((await introspect(token, good)).status).toBe(200);
    world.services.revokedKeys.add(other.kid);
    for (const [what, assertion, description] of [
      ['an agent', world.assertion(), 'client_assertion does not verify.'],
      ['another key', assertionOf(stranger, TOOL), 'client_assertion does not verify.'],
      ['another tool’s key', assertionOf(other, TOOL), 'client_assertion does not verify.'],
      [
        'a tool without keys',
        assertionOf(stranger, 'https://keyless.test'),
        'client_assertion does not verify.',
      ],
      [
        'an unknown tool',
        assertionOf(stranger, 'https://nobody.test'),
        'client_assertion does not verify.',
      ],
      [
        'another audience',
        assertionOf(erp, TOOL, { aud: `${ISSUER}/introspect` }),
        'client_assertion has another audience.',
      ],
      ['a replay', good, 'client_assertion was used before.'],
      ['a revoked key', assertionOf(other, OTHER), "The client's key is revoked."],
    ] as const) {
      const { status, body } = await introspect(token, assertion);
      expect([status, body], what).toEqual([
        401,
        { error: 'invalid_client', error_description: description },
      ]);
    }
    expect((await post('introspect', { token })).status).toBe(401);
  });
});

describe('revocation', () => {
  it('revokes the token of its holder, and one that it handed on, by their ids', async () => {
    const own = world.held();
    const child = world.held({
      actors: ['procurement-agent', 'risk-analyst'],
      lineage: [own.capability.id],
      depth: { used: 1, max: 2 },
    });
    for (const { token, capability } of [own, child]) {
      world.services.asked.length = 0;
      const { status, body } = await revoke(token);
      expect([status, body]).toEqual([200, {}]);
      expect(world.services.asked.at(-1)).toEqual({
        method: 'revocation.revoke',
        tenant: 'acme',
        body: {
          kind: 'token',
          id: capability.id,
          by: { kind: 'agent', id: 'procurement-agent' },
        },
      });
    }
  });

  it('says yes to what is no live token of this issuer, and revokes nothing', async () => {
    const now = world.clock.nowSeconds();
    const [head, payload] = world.held().token.split('.');
    for (const token of [
      'x',
      `${head}.${payload}.${Buffer.alloc(3_309).toString('base64url')}`,
      world.held({ tenant: 'globex' }).token,
      world.held({ issuedAt: now - 400, notBefore: now - 400, expiresAt: now - 61 }).token,
    ]) {
      expect(await revoke(token)).toMatchObject({ status: 200, body: {} });
    }
    expect(methods()).not.toContain('revocation.revoke');
  });

  // Red when the chain is not compared with the client.
  it('refuses and records a client in whose chain the token is not', async () => {
    const { token, capability } = world.held({
      actors: ['origin-agent', 'risk-analyst'],
      lineage: ['a'],
      depth: { used: 1, max: 2 },
    });
    const { status, body } = await revoke(token);
    expect([status, body.error, body.reason]).toEqual([400, 'invalid_request', 'holder_mismatch']);
    expect(methods()).not.toContain('revocation.revoke');
    const [kept] = await world.records(1);
    expect(kept?.record).toMatchObject({
      id: body.record_id,
      event: 'token.refused',
      reason: 'holder_mismatch',
      client: 'procurement-agent',
      token: { jti: capability.id },
      detail: { endpoint: 'revoke' },
    });
  });

  it('is for agents that prove a registered key that is not revoked', async () => {
    const { token } = world.held();
    expect((await post('revoke', { token })).status).toBe(401);
    expect((await revoke(token, assertionOf(erp, TOOL))).status).toBe(401);
    world.services.revokedKeys.add(world.clientKey.kid);
    const { status, body } = await revoke(token);
    expect([status, body.error, body.reason]).toEqual([401, 'invalid_client', 'key_revoked']);
    expect(methods()).not.toContain('revocation.revoke');
    await world.records(1);
  });

  it('is open to a suspended agent, for it only takes away', async () => {
    const agents = world.services.tenants.get('acme')?.agents;
    const before = agents?.get('procurement-agent');
    if (!before) throw new Error('no agent');
    agents?.set('procurement-agent', { ...before, status: 'inactive' });
    expect((await revoke(world.held().token)).status).toBe(200);
    expect(methods()).toContain('revocation.revoke');
    agents?.set('procurement-agent', before);
  });
});

describe('both', () => {
  it('refuse a parameter that they do not know, and one that comes twice', async () => {
    for (const path of ['introspect', 'revoke']) {
      expect((await post(path, { token: 'x', resource: TOOL })).status).toBe(400);
      const twice = await world.app.http.inject({
        method: 'POST',
        url: `/t/acme/${path}`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: 'token=a&token=b',
      });
      expect([twice.statusCode, twice.json().error]).toEqual([400, 'invalid_request']);
    }
  });

  // Red when a time-out is taken for an answer.
  it('are errors while the revocation service does not answer', async () => {
    const { token } = world.held();
    await world.services.stop('revocation');
    for (const [ask, path] of [
      [() => introspect(token), 'introspect'],
      [() => revoke(token), 'revoke'],
    ] as const) {
      const { status, body } = await ask();
      expect([status, body.error], path).toEqual([503, 'temporarily_unavailable']);
      expect(body, path).not.toHaveProperty('active');
    }
  });
});
