import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Bus, connectBus, createSigner, createVerifier, type Verifier } from '@remit/bus';
import {
  canonicalText,
  makeCloudEvent,
  type PolicyEvent,
  type RegistryBody,
  type RegistryEvent,
  SIGNED,
  type SignedType,
  sha256,
  streams,
  subjects,
  type TokenSubjects,
} from '@remit/contracts';
import { type TestInfra, testInfra } from '@remit/testkit';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { expect, vi } from 'vitest';
import { build } from '../app.ts';
import type { RevocationConfig } from '../config.ts';

export const TENANT = 'acme';
const IDP = 'https://idp.acme.test';
const PUBLIC_URL = 'http://revocation.test';

export const newId = (): string => randomBytes(16).toString('base64url');

export function subjectsOf(rev: TokenSubjects['rev'], over: Partial<TokenSubjects> = {}) {
  return {
    jti: newId(),
    lineage: [],
    rev,
    task: `task_${newId()}`,
    actors: ['procurement-agent'],
    user: 'alice',
    client: 'procurement-agent',
    keys: ['kid-1'],
    ...over,
  } satisfies TokenSubjects;
}

/** Waits for a condition by asking, as long as vitest's own bound allows. */
export const until = <T>(fn: () => T | Promise<T>, timeout = 8_000): Promise<T> =>
  vi.waitFor(fn, { timeout, interval: 10 });

type Source = 'registry' | 'pdp';

/** The registry and the pdp as the revocation service hears them: beats, events, look-ups. */
export async function createSources(infra: TestInfra) {
  const buses: Record<Source, Bus> = {
    registry: await connect(infra, 'registry'),
    pdp: await connect(infra, 'pdp'),
  };
  const signers = {
    registry: createSigner(infra.signer('registry-bus')),
    pdp: createSigner(infra.signer('pdp-bus')),
  };
  await buses.registry.ensureStream(streams.REGISTRY, { storage: 'memory' });
  await buses.pdp.ensureStream(streams.POLICY, { storage: 'memory' });
  const head: Record<Source, number> = { registry: 0, pdp: 0 };
  const muted = new Set<Source>();
  const boot = newId();
  let n = 0;
  const beat = (source: Source, over: Record<string, unknown> = {}): string => {
    const payload = { source, boot, n: ++n, time: Date.now(), head: head[source], ...over };
    return signers[source].sign(SIGNED.beat, JSON.stringify(payload));
  };
  const beatSubject = { registry: subjects.registryBeat, pdp: subjects.policyBeat };
  const timer = setInterval(() => {
    for (const source of ['registry', 'pdp'] as const) {
      if (!muted.has(source)) buses[source].publish(beatSubject[source], beat(source));
    }
  }, 100);

  const post = async (source: Source, subject: string, typ: SignedType, event: object) => {
    const signed = signers[source].sign(typ, JSON.stringify(event));
    await buses[source].publishRecord(subject, signed, newId());
    return signed;
  };
  const fields = (tenant: string) => ({
    id: newId(),
    source: 'urn:remit:test',
    subject: tenant,
    time: new Date().toISOString(),
  });
  return {
    buses,
    signers,
    head,
    beat,
    beatSubject,
    mute: (source: Source) => muted.add(source),
    unmute: (source: Source) => muted.delete(source),
    /** A change of the registry; `lost` counts it without sending it. */
    change: async (
      what: Pick<RegistryEvent, 'entity' | 'id' | 'change'>,
      { tenant = TENANT, lost = false, seq = head.registry + 1 } = {},
    ) => {
      head.registry = Math.max(head.registry, seq);
      const data: RegistryEvent = { seq, revision: seq, ...what };
      if (lost) return '';
      const event = makeCloudEvent('registry.changed', fields(tenant), data);
      return post('registry', subjects.registry(tenant, what.entity), SIGNED.registry, event);
    },
    activate: async (tenant = TENANT) => {
      const data: PolicyEvent = { seq: ++head.pdp, version: 'v', number: 1, change: 'activated' };
      const event = makeCloudEvent('policy.activated', fields(tenant), data);
      return post('pdp', subjects.policy(tenant), SIGNED.policy, event);
    },
    stop: async () => {
      clearInterval(timer);
      await buses.registry.close();
      await buses.pdp.close();
    },
  };
}
export type Sources = Awaited<ReturnType<typeof createSources>>;

export async function connect(infra: TestInfra, user: string): Promise<Bus> {
  const { seed } = infra.creds(user);
  return connectBus({ url: infra.natsUrl, user, seed, name: `test-${user}` });
}

export async function connectPep(infra: TestInfra, pep = 'erp-1', tenant = TENANT): Promise<Bus> {
  const { seed } = infra.pepCreds(tenant, pep);
  return connectBus({ url: infra.natsUrl, user: pep, seed, name: `test-${pep}` });
}

let instances = 0;

export function configOf(infra: TestInfra, over: Partial<RevocationConfig> = {}): RevocationConfig {
  instances++;
  return {
    httpHost: '127.0.0.1',
    httpPort: 0,
    publicUrl: PUBLIC_URL,
    databaseUrl: infra.databaseUrl('revocation'),
    natsUrl: infra.natsUrl,
    natsSeed: infra.creds('revocation').seed,
    trustFile: infra.trustFile,
    spoolDir: join(infra.tmpDir, `spool-${instances}`),
    logLevel: 'fatal',
    instance: `r${instances}`,
    production: false,
    insecureDatabase: true,
    busSignerFile: infra.keys.signerFile('revocation-bus'),
    statusSignerFile: infra.keys.signerFile('revocation-status'),
    statusListBits: 1_024,
    statusTtlSeconds: 30,
    useRetentionSeconds: 604_800,
    ...over,
  };
}

/** An identity provider with one key, and its tenant's people in the registry. */
async function createPeople(sources: Sources) {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'idp-1', alg: 'ES256', use: 'sig' };
  const bodies = new Map<string, string>();
  const put = (body: RegistryBody): string => {
    const text = canonicalText(body);
    const digest = `sha256:${sha256(text)}`;
    bodies.set(digest, text);
    return digest;
  };
  const tenantDigest = put({
    kind: 'tenant',
    id: TENANT,
    idps: [{ issuer: IDP }],
    admin_groups: { 'remit-admin': ['security'] },
  });
  const groups: Record<string, string[]> = { alice: ['treasury'], bob: [], dora: ['security'] };
  sources.buses.registry.serve(
    'registry',
    {
      lookup: (_, { user }) => {
        const id = user && 'sub' in user ? user.sub : '';
        const known = groups[id];
        return {
          revision: 1,
          tenant: { status: 'active', body: tenantDigest },
          actors: [],
          ...(known
            ? {
                user: {
                  id,
                  status: 'active' as const,
                  body: put({ kind: 'user', id, groups: known, attributes: {}, grants: [] }),
                  roles: [],
                },
              }
            : {}),
        };
      },
      body: (_, { digest }) => ({ digest, text: bodies.get(digest) as string }),
    },
    { signer: sources.signers.registry },
  );
  return {
    fetch: async (url: string): Promise<Response> =>
      Response.json(
        url.endsWith('/.well-known/openid-configuration')
          ? { issuer: IDP, jwks_uri: `${IDP}/jwks` }
          : { keys: [jwk] },
      ),
    expired: (sub: string, at: number): Promise<string> =>
      new SignJWT({ client_id: 'console' })
        .setProtectedHeader({ alg: 'ES256', kid: 'idp-1', typ: 'at+jwt' })
        .setIssuer(IDP)
        .setSubject(sub)
        .setAudience(`${PUBLIC_URL}/t/${TENANT}`)
        .setJti(newId())
        .setIssuedAt(at - 60)
        .setExpirationTime(at)
        .sign(privateKey),
    token: (sub: string, over: Record<string, unknown> = {}): Promise<string> =>
      new SignJWT({
        client_id: 'console',
        iss: IDP,
        aud: `${PUBLIC_URL}/t/${TENANT}`,
        ...over,
      })
        .setProtectedHeader({ alg: 'ES256', kid: 'idp-1', typ: 'at+jwt' })
        .setSubject(sub)
        .setJti(newId())
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(privateKey),
  };
}

/** Real servers, the sources, one started service and a caller for each kind of asker. */
export async function createRig(over: Partial<RevocationConfig> = {}) {
  const cleanup = new AsyncDisposableStack();
  const infra = cleanup.use(await testInfra({ services: ['revocation'] }));
  const sources = await createSources(infra);
  cleanup.defer(() => sources.stop());
  const audit = await connect(infra, 'audit');
  cleanup.defer(() => audit.close());
  await audit.ensureStream(streams.AUDIT, { storage: 'memory' });
  const people = await createPeople(sources);
  const app = await build(configOf(infra, over), { fetch: people.fetch, lostAfterMs: 1_500 });
  cleanup.defer(() => app.stop());
  await app.start();
  const issuer = await connect(infra, 'issuer');
  cleanup.defer(() => issuer.close());
  const pep = await connectPep(infra);
  cleanup.defer(() => pep.close());
  const verifier: Verifier = createVerifier(infra.trust().keys.revocation);
  const by = { kind: 'service', id: 'issuer' } as const;
  return {
    infra,
    sources,
    people,
    audit,
    app,
    issuer,
    pep,
    verifier,
    cleanup,
    head: async (tenant = TENANT) =>
      issuer.call('revocation.head', tenant, { nonce: newId() }, { verifier }),
    check: (tokens: TokenSubjects[], more: { tasks?: string[]; keys?: string[] } = {}) =>
      issuer.call(
        'revocation.check',
        TENANT,
        { tokens, tasks: more.tasks ?? [], keys: more.keys ?? [] },
        { verifier },
      ),
    register: (token: TokenSubjects, exp = Math.floor(Date.now() / 1_000) + 300) =>
      issuer.call('revocation.register', TENANT, { ...token, exp }, { verifier }),
    revoke: (
      kind: 'token' | 'link' | 'task' | 'agent' | 'user' | 'client' | 'tenant' | 'key',
      id: string,
    ) => issuer.call('revocation.revoke', TENANT, { kind, id, by }, { verifier }),
    ready: async () => {
      await until(async () => {
        const answer = await app.http.inject('/readyz');
        expect(answer.json()).toMatchObject({ status: 'ready' });
      });
    },
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}
export type Rig = Awaited<ReturnType<typeof createRig>>;
