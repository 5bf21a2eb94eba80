import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  SignJWT,
} from 'jose';

/** An IdP as far as a relying party sees it: discovery, JWKS and ID tokens of any shape. */
export type FakeIdp = AsyncDisposable & {
  readonly issuer: string;
  /** Signs claims as they are given; `undefined` takes a default one away. */
  idToken(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
  /** Makes another key and publishes it alone. */
  rotate(): Promise<void>;
  requests: string[];
};

export async function startFakeIdp(nowSeconds: () => number): Promise<FakeIdp> {
  let key = await newKey();
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    const body =
      request.url === '/jwks'
        ? { keys: [key.publicJwk] }
        : { issuer, jwks_uri: `${issuer}/jwks`, token_endpoint: `${issuer}/token` };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    requests,
    idToken: (claims = {}, header = {}) => {
      const payload: JWTPayload = {
        iss: issuer,
        sub: 'alice-at-idp',
        aud: 'procurement-app',
        iat: nowSeconds(),
        exp: nowSeconds() + 300,
        ...claims,
      };
      for (const [name, value] of Object.entries(payload)) {
        if (value === undefined) delete payload[name];
      }
      return new SignJWT(payload)
        .setProtectedHeader({ alg: 'ES256', kid: key.kid, ...header })
        .sign(key.privateKey);
    },
    rotate: async () => {
      key = await newKey();
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function newKey(): Promise<{ privateKey: CryptoKey; publicJwk: JWK; kid: string }> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { privateKey, publicJwk: { ...jwk, kid, alg: 'ES256', use: 'sig' }, kid };
}
