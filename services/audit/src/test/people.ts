import { type Bus, connectBus, createSigner } from '@remit/bus';
import { bodyDigest, canonicalText, type RegistryBody } from '@remit/contracts';
import type { Fetch } from '@remit/service-kit';
import type { TestInfra } from '@remit/testkit';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

/** People and their identity provider: the registry answers over the real bus, with its real key. */
export type TestPeople = AsyncDisposable & {
  readonly fetch: Fetch;
  /** An access token of a person for this service, as a header. */
  signIn(user: string, audience?: string): Promise<{ authorization: string }>;
  readonly bus: Bus;
};

const ISSUER = 'https://idp.test';
const GROUPS: Record<string, string[]> = {
  erin: ['internal-audit'],
  dora: ['security'],
  alice: [],
};

export async function startPeople(infra: TestInfra, audience: string): Promise<TestPeople> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] };
  const { user, seed } = infra.creds('registry');
  const bus = await connectBus({ url: infra.natsUrl, user, seed, name: user });
  const bodies = new Map<string, string>();
  const keep = (body: RegistryBody): string => {
    const text = canonicalText(body);
    bodies.set(bodyDigest(text), text);
    return bodyDigest(text);
  };
  bus.serve(
    'registry',
    {
      lookup: ({ tenant }, request) => {
        const who = request.user && 'sub' in request.user ? request.user.sub : '';
        const groups = GROUPS[who];
        const person = groups && {
          id: who,
          status: 'active' as const,
          roles: [],
          body: keep({ kind: 'user', id: who, groups, attributes: {}, grants: [] }),
        };
        const body = keep({
          kind: 'tenant',
          id: tenant,
          idps: [{ issuer: ISSUER }],
          admin_groups: { 'remit-auditor': ['internal-audit'], 'remit-admin': ['security'] },
        });
        return {
          revision: 1,
          tenant: { status: 'active', body },
          actors: [],
          ...(person ? { user: person } : {}),
        };
      },
      body: (_context, { digest }) => ({ digest, text: bodies.get(digest) ?? '' }),
    },
    { signer: createSigner(infra.signer('registry-bus')) },
  );
  const answers: Record<string, unknown> = {
    [`${ISSUER}/.well-known/openid-configuration`]: { issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` },
    [`${ISSUER}/jwks`]: jwks,
  };
  return {
    bus,
    fetch: async (url) => Response.json(answers[url]),
    async signIn(sub, aud = audience) {
      const token = await new SignJWT({ client_id: 'browser' })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })
        .setIssuer(ISSUER)
        .setSubject(sub)
        .setAudience(aud)
        .setIssuedAt()
        .setJti(crypto.randomUUID())
        .setExpirationTime('5m')
        .sign(privateKey);
      return { authorization: `Bearer ${token}` };
    },
    [Symbol.asyncDispose]: () => bus.close(),
  };
}
