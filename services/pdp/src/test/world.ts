import { type TestInfra, testInfra } from '@remit/testkit';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { build } from '../app.ts';
import { type FakeRegistry, IDP_ISSUER, startFakeRegistry } from './fake-registry.ts';

export const PUBLIC_URL = 'http://pdp.test';

export type World = AsyncDisposable & {
  infra: TestInfra;
  registry: FakeRegistry;
  pdp: Awaited<ReturnType<typeof build>>;
  /** An access token of a person for this pdp. */
  token: (sub: string, claims?: Record<string, unknown>) => Promise<string>;
};

/** The pdp that production builds, on a real bus and database; registry and identity provider stand in. */
export async function startWorld(): Promise<World> {
  await using cleanup = new AsyncDisposableStack();
  const infra = cleanup.use(await testInfra({ services: ['pdp', 'audit'] }));
  const registry = cleanup.use(await startFakeRegistry(infra));
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] };
  const fetch = async (url: string): Promise<Response> =>
    url.endsWith('/jwks')
      ? Response.json(jwks)
      : Response.json({ issuer: IDP_ISSUER, jwks_uri: `${IDP_ISSUER}/jwks` });
  const pdp = await build(
    {
      ...infra.serviceConfig('pdp', PUBLIC_URL),
      busSignerFile: infra.keys.signerFile('pdp-bus'),
      streamReplicas: 1,
    },
    { fetch },
  );
  cleanup.defer(() => pdp.stop());
  await pdp.start();
  const rest = cleanup.move();
  return {
    infra,
    registry,
    pdp,
    token: (sub, claims = {}) =>
      new SignJWT({ aud: `${PUBLIC_URL}/t/acme`, client_id: 'admin-ui', ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })
        .setIssuer(IDP_ISSUER)
        .setSubject(sub)
        .setIssuedAt()
        .setExpirationTime('5m')
        .setJti(crypto.randomUUID())
        .sign(privateKey),
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  };
}
