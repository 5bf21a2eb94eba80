import { generateKeyPairSync } from 'node:crypto';
import { createProof, importSigner } from '@remit/capability';
import { RecorderError } from '@remit/recorder';
import { createHealth, createHttpApp, createLogger, createMetrics } from '@remit/service-kit';
import { fixedClock } from '@remit/testkit';
import { describe, expect, it } from 'vitest';
import type { IssuerDeps } from '../deps.ts';
import { createIssuerMetrics } from '../metrics.ts';
import { allow, deny } from '../test/fake-services.ts';
import { agent } from '../test/registry-bodies.ts';
import { createTokenKeys } from '../token-keys.ts';
import { tokenRoute } from './token.ts';

const ISSUER = 'https://issuer.test/t/acme';
const clock = fixedClock();
const ed25519 = () => ({ ...generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) });
const key = importSigner(ed25519());
const IDP = 'https://idp.test';

/** The token endpoint on a recorder that can keep nothing; everything else is as it should be. */
function endpoint(decide: typeof allow = allow) {
  const log = createLogger({ service: 'issuer', instance: 't', level: 'silent' });
  const metrics = createMetrics({ service: 'issuer', version: '0' });
  const http = createHttpApp({ log, metrics, health: createHealth({ log }), publicUrl: ISSUER });
  const tokenKeys = createTokenKeys({ acme: { keys: [ed25519()] } });
  const body = agent('a-1', key, { signing_alg: 'Ed25519' });
  const issuer: IssuerDeps = {
    publicUrl: 'https://issuer.test',
    proofKeys: new Map(),
    proofWindowSeconds: 30,
    nonces: undefined,
    services: {
      directory: {
        lookup: async () => ({
          revision: 1,
          tenant: { status: 'active', body: 't' },
          actors: [{ id: 'a-1', status: 'active', body: 'a', envelope: 'e' }],
          user: { id: 'alice', status: 'active', body: 'u', roles: [] },
          task_type: { id: 'supplier-risk-summary', body: 'y' },
          tool: { id: 'erp', body: 'o' },
        }),
        body: async (_tenant, _digest, kind) =>
          (kind === 'agent'
            ? body
            : { kind: 'tenant', id: 'acme', idps: [{ issuer: IDP }], admin_groups: {} }) as never,
      },
      check: async () => ({ head: { epoch: 'e', seq: 1 } }),
      mint: async (_tenant, request) => decide(request),
      revoke: async () => ({ epoch: 'e', seq: 2, time: 0 }),
      recheckedSince: async () => false,
      register: async () => ({ idx: 1, uri: 'https://revocation.test/1' }),
    },
    idpKeys: {
      verify: async () => ({
        header: { alg: 'ES256' },
        claims: {
          iss: IDP,
          sub: 'a',
          aud: 'procurement-app',
          iat: clock.nowSeconds(),
          exp: clock.nowSeconds() + 60,
        },
      }),
    },
    tokenKeys,
    replay: {
      rememberAssertion: async () => true,
      rememberActorToken: async () => true,
      rememberProof: async () => true,
      forgetExpired: async () => 0,
    },
    tasks: { insert: async () => {}, find: async () => undefined },
    clock,
    randomId: () => crypto.randomUUID().replaceAll('-', ''),
  };
  tokenRoute(http, {
    issuer,
    log,
    metrics: createIssuerMetrics(metrics, tokenKeys),
    recorder: {
      record: async () => {
        throw new RecorderError('AUDIT_UNAVAILABLE', 'the spool is full');
      },
      countStranger: () => {},
    },
  });
  return { http, [Symbol.asyncDispose]: () => http.close().then(() => metrics.stop()) };
}

function goodRequest() {
  const nowSeconds = clock.nowSeconds();
  const claims = { iss: 'a-1', sub: 'a-1', aud: ISSUER, iat: nowSeconds, exp: nowSeconds + 60 };
  const assertion = key.sign({ typ: 'JWT' }, { ...claims, jti: crypto.randomUUID() });
  const idToken = `e30.${Buffer.from(JSON.stringify({ iss: IDP })).toString('base64url')}.x`;
  return {
    method: 'POST' as const,
    url: '/t/acme/token',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      dpop: createProof({
        signer: key,
        method: 'POST',
        url: `${ISSUER}/token`,
        nowSeconds,
        jti: crypto.randomUUID(),
      }),
    },
    payload: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
      subject_token: idToken,
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      resource: 'https://erp.test',
      authorization_details: JSON.stringify([
        { type: 'urn:remit:task:1', task_type: 'supplier-risk-summary', slots: {} },
      ]),
    }).toString(),
  };
}

describe('a recorder that cannot keep a record', () => {
  // Red when the answer does not wait for the record.
  it('keeps a token from leaving', async () => {
    await using server = endpoint();
    const response = await server.http.inject(goodRequest());
    expect(response.statusCode).toBe(503);
    expect(response.json()).toEqual({
      error: 'temporarily_unavailable',
      error_description: 'A service that this needs does not answer. Try again.',
    });
    expect(response.body).not.toContain('eyJ');
  });

  it('leaves a refusal what it is, without the id of a record', async () => {
    await using server = endpoint(() => deny('user_entitlement'));
    const response = await server.http.inject(goodRequest());
    expect(response.statusCode).toBe(400);
    expect(response.json()).toEqual({
      error: 'invalid_authorization_details',
      error_description: 'The request is refused: it goes beyond what the user may do.',
    });
  });
});
