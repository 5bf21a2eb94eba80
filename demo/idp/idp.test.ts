import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { signIn } from '@remit/cli/sign-in';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createIdp } from './provider.ts';

let server: Server;
let issuer: string;
const redirectUri = 'http://127.0.0.1:9/callback';
const resource = 'http://127.0.0.1:9/t/acme';

beforeAll(async () => {
  issuer = `http://127.0.0.1:${await unusedPort()}`;
  server = await createIdp({
    issuer,
    users: { alice: 'correct horse' },
    clients: [{ id: 'procurement-app', redirectUri }],
    resources: [resource],
  });
  await new Promise<void>((resolve) =>
    server.listen(Number(new URL(issuer).port), '127.0.0.1', resolve),
  );
});
afterAll(() => server.close());

const person = {
  clientId: 'procurement-app',
  redirectUri,
  user: 'alice',
  password: 'correct horse',
};

describe('the IdP of the demo', () => {
  it('gives an ID token for the application after code flow with PKCE', async () => {
    const { idToken } = await signIn({ issuer, ...person });
    expect(decodeProtectedHeader(idToken).alg).toBe('ES256');
    expect(decodeJwt(idToken)).toMatchObject({ iss: issuer, sub: 'alice', aud: 'procurement-app' });
  });

  it('gives an access token whose only audience is the service that was asked for', async () => {
    const { accessToken } = await signIn({ issuer, ...person, resource });
    expect(decodeProtectedHeader(accessToken)).toMatchObject({ alg: 'ES256', typ: 'at+jwt' });
    expect(decodeJwt(accessToken)).toMatchObject({ iss: issuer, sub: 'alice', aud: resource });
  });

  it('refuses a wrong password, an unknown user and a service that is not its own', async () => {
    for (const wrong of [
      { password: 'x' },
      { user: 'mallory' },
      { user: '__proto__' },
      { password: '' },
    ]) {
      await expect(signIn({ issuer, ...person, ...wrong })).rejects.toMatchObject({
        code: 'SIGN_IN_FAILED',
      });
    }
    await expect(signIn({ issuer, ...person, resource: 'http://evil.example' })).rejects.toThrow();
  });
});

async function unusedPort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
