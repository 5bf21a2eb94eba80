import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  importVerifyKey,
  jwkThumbprint,
  readCapability,
  verifyCapabilitySignature,
} from '@remit/capability';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agent } from './test/registry-bodies.ts';
import { startWorld, type World, writeTokenKeys } from './test/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld({ faults: true });
  await world.app.start();
});
afterAll(() => world[Symbol.asyncDispose]());

const get = async (url: string) => {
  const response = await world.app.http.inject({ method: 'GET', url });
  return { status: response.statusCode, headers: response.headers, body: response.body };
};
const jwks = async () =>
  (JSON.parse((await get('/t/acme/jwks.json')).body) as { keys: Record<string, string>[] }).keys;

/** Verifies with what the issuer publishes at this moment. */
async function verify(token: unknown) {
  const keys = (await jwks()).map(importVerifyKey);
  return verifyCapabilitySignature(String(token), {
    keys: (kid) => keys.find((key) => key.kid === kid),
    algorithms: ['ML-DSA-65', 'ML-DSA-44', 'Ed25519'],
  });
}

describe('what the issuer publishes', () => {
  it('is metadata that is complete, true and before the path of the issuer', async () => {
    const { status, headers, body } = await get('/.well-known/oauth-authorization-server/t/acme');
    expect([status, headers['cache-control']]).toEqual([200, 'public, max-age=60']);
    expect(JSON.parse(body)).toEqual({
      issuer: 'https://issuer.test/t/acme',
      token_endpoint: 'https://issuer.test/t/acme/token',
      introspection_endpoint: 'https://issuer.test/t/acme/introspect',
      revocation_endpoint: 'https://issuer.test/t/acme/revoke',
      introspection_endpoint_auth_methods_supported: ['private_key_jwt'],
      introspection_endpoint_auth_signing_alg_values_supported: ['Ed25519', 'ES256'],
      revocation_endpoint_auth_methods_supported: ['private_key_jwt'],
      revocation_endpoint_auth_signing_alg_values_supported: ['Ed25519', 'ES256'],
      jwks_uri: 'https://issuer.test/t/acme/jwks.json',
      response_types_supported: [],
      grant_types_supported: ['urn:ietf:params:oauth:grant-type:token-exchange'],
      token_endpoint_auth_methods_supported: ['private_key_jwt'],
      token_endpoint_auth_signing_alg_values_supported: ['Ed25519', 'ES256'],
      dpop_signing_alg_values_supported: ['ES256', 'Ed25519'],
      authorization_details_types_supported: ['urn:remit:task:1', 'urn:remit:capability:1'],
    });
    expect((await get('/t/acme/.well-known/oauth-authorization-server')).status).toBe(404);
  });

  it('are the public keys of the tenant alone, with their algorithm', async () => {
    const { status, headers, body } = await get('/t/acme/jwks.json');
    expect([status, headers['cache-control']]).toEqual([200, 'public, max-age=60']);
    expect(JSON.parse(body)).toEqual({
      keys: [
        {
          kty: 'AKP',
          alg: 'ML-DSA-65',
          pub: expect.any(String),
          kid: expect.any(String),
          use: 'sig',
        },
      ],
    });
    const other = (await get('/t/globex/jwks.json')).body;
    expect(other).not.toBe(body);
    for (const url of [
      '/t/nobody/jwks.json',
      '/.well-known/oauth-authorization-server/t/nobody',
      '/.well-known/oauth-authorization-server',
    ]) {
      expect((await get(url)).status, url).toBe(404);
    }
    expect((await get('/t/acme/jwks.json?x=1')).status).toBe(400);
  });
});

describe('the keys of tokens', () => {
  it('are rotated without an outage: published ahead, then signing, kept for the old tokens', async () => {
    type KeyFile = Record<string, { keys: Record<string, unknown>[] }>;
    const file = JSON.parse(readFileSync(world.tokenKeysFile, 'utf8')) as KeyFile;
    const old = file.acme?.keys[0] ?? {};
    const { privateKey } = generateKeyPairSync('ml-dsa-65');
    const next = { ...privateKey.export({ format: 'jwk' }) };
    const rewrite = async (...keys: object[]) => {
      writeTokenKeys(world.tokenKeysFile, { ...file, acme: { keys } });
      await world.app.reload();
    };
    const first = (await world.ask()).body.access_token;
    await rewrite(old, next);
    expect((await jwks()).map(({ kid }) => kid)).toEqual([jwkThumbprint(old), jwkThumbprint(next)]);
    expect((await verify((await world.ask()).body.access_token)).header.kid).toBe(
      jwkThumbprint(old),
    );

    await rewrite(next, old);
    const third = (await world.ask()).body.access_token;
    expect((await verify(third)).header.kid).toBe(jwkThumbprint(next));
    expect(readCapability((await verify(first)).payload).tenant).toBe('acme');

    await rewrite(next);
    await expect(verify(first)).rejects.toMatchObject({ code: 'KID_UNKNOWN' });
    expect((await verify(third)).header.kid).toBe(jwkThumbprint(next));

    writeTokenKeys(world.tokenKeysFile, { acme: { keys: [{ kty: 'AKP' }] } });
    await expect(world.app.reload()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect((await world.ask()).status).toBe(200);
    await rewrite(old);
    await world.records(4);
  });

  it('of another algorithm sign for the agents that the registry says', async () => {
    const file = JSON.parse(readFileSync(world.tokenKeysFile, 'utf8')) as Record<
      string,
      { keys: object[] }
    >;
    const edwards = { ...generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) };
    const small = {
      ...generateKeyPairSync('ml-dsa-44' as 'ed25519').privateKey.export({ format: 'jwk' }),
    };
    writeTokenKeys(world.tokenKeysFile, {
      ...file,
      acme: { keys: [...(file.acme?.keys ?? []), edwards, small] },
    });
    await world.app.reload();
    const agents = world.services.tenants.get('acme')?.agents;
    for (const algorithm of ['Ed25519', 'ML-DSA-44', 'ML-DSA-65'] as const) {
      agents?.set('procurement-agent', {
        status: 'active',
        body: agent('procurement-agent', world.clientKey, { signing_alg: algorithm }),
      });
      const { body } = await world.ask();
      expect((await verify(body.access_token)).header.alg).toBe(algorithm);
    }
    await world.records(3);
  });
});

describe('a dependency that is away', () => {
  const readyz = async () => {
    const { status, body } = await get('/readyz');
    return { status, body: JSON.parse(body) as { status: string } };
  };
  const until = async (status: number): Promise<void> => {
    const deadline = Date.now() + 2_000;
    while ((await readyz()).status !== status) {
      if (Date.now() > deadline) throw new Error(`not ${status} within 2 s`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  it.each(['database', 'bus'] as const)(
    '%s: unready within 2 s, ready again by itself',
    async (name) => {
      await until(200);
      const proxy = world.faults?.[name];
      proxy?.cut();
      await until(503);
      const answer = await world.ask();
      expect(answer.status).toBe(503);
      expect(answer.body).toEqual({
        error: 'temporarily_unavailable',
        error_description: 'A service that this needs does not answer. Try again.',
      });
      expect(answer.headers['retry-after']).toBe('1');
      proxy?.heal();
      await until(200);
      expect((await world.ask()).status).toBe(200);
    },
  );

  it.each([
    ['pdp', 'pdp_unavailable'],
    ['revocation', 'revocation_unavailable'],
    ['registry', 'registry_unavailable'],
  ] as const)('%s: no token, and the record says which', async (service, reason) => {
    await world.services.stop(service);
    const before = (await world.rows('tasks')).length;
    const { status, body } = await world.ask();
    expect({ status, error: body.error }).toEqual({
      status: 503,
      error: 'temporarily_unavailable',
    });
    expect((await world.rows('tasks')).length).toBe(before);
    const reasons: (string | undefined)[] = [];
    while (!reasons.includes(reason)) {
      reasons.push(...(await world.records(1)).map(({ record }) => record.reason));
    }
  });
});

describe('the metrics', () => {
  it('count what the issuer does under names that stay', async () => {
    const { status, body } = await get('/metrics');
    expect(status).toBe(200);
    for (const name of [
      'remit_build_info',
      'remit_bus_connected',
      'remit_http_requests_total',
      'remit_issuer_exchange_seconds',
      'remit_issuer_introspections_total',
      'remit_issuer_key_reloads_total',
      'remit_issuer_nonce_challenges_total',
      'remit_issuer_replay_rows_forgotten_total',
      'remit_issuer_revocations_total',
      'remit_issuer_signing_keys',
      'remit_issuer_strangers_total',
      'remit_issuer_token_bytes',
      'remit_issuer_tokens_issued_total',
      'remit_issuer_tokens_refused_total',
      'remit_records_total',
      'remit_rpc_called_total',
    ]) {
      expect(body, name).toContain(`# TYPE ${name} `);
    }
    expect(body).toContain('remit_issuer_tokens_refused_total{reason="pdp_unavailable"} 1');
  });
});
