import { connectBus } from '@remit/bus';
import { type AuditRecord, auditMessage, conform, durables, streams } from '@remit/contracts';
import { type TestInfra, testInfra } from '@remit/testkit';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { build } from '../app.ts';
import type { PdpConfig } from '../config.ts';
import { type FakeRegistry, IDP_ISSUER, startFakeRegistry } from './fake-registry.ts';

const PUBLIC_URL = 'http://pdp.test';

export type World = AsyncDisposable & {
  infra: TestInfra;
  registry: FakeRegistry;
  pdp: Awaited<ReturnType<typeof build>>;
  /** Records in the order of their arrival, as the ledger would read them. */
  records: AuditRecord[];
  /** Resolves with the first record that fits, now or later. */
  recorded: (fits: (record: AuditRecord) => boolean) => Promise<AuditRecord>;
  /** An access token of a person for this pdp. */
  token: (sub: string, claims?: Record<string, unknown>) => Promise<string>;
};

/** The pdp that production builds, on a real bus and database; registry and identity provider stand in. */
export async function startWorld(
  overrides: (infra: TestInfra) => Promise<Partial<PdpConfig>> | Partial<PdpConfig> = () => ({}),
): Promise<World> {
  await using cleanup = new AsyncDisposableStack();
  const infra = cleanup.use(await testInfra({ services: ['pdp'] }));
  const registry = cleanup.use(await startFakeRegistry(infra));
  const { records, recorded, close } = await startAuditTap(infra);
  cleanup.defer(close);
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
      ...(await overrides(infra)),
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
    records,
    recorded,
    token: (sub, claims = {}) =>
      new SignJWT({ aud: `${PUBLIC_URL}/t/acme`, client_id: 'admin-ui', ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })
        .setIssuer(IDP_ISSUER)
        .setSubject(sub)
        .setIssuedAt()
        .setExpirationTime(typeof claims.exp === 'number' ? claims.exp : '5m')
        .setJti(crypto.randomUUID())
        .sign(privateKey),
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  };
}

/** Reads the stream AUDIT in the place of the audit service. */
async function startAuditTap(infra: TestInfra): Promise<{
  records: AuditRecord[];
  recorded: World['recorded'];
  close: () => Promise<void>;
}> {
  const bus = await connectBus({ url: infra.natsUrl, ...infra.creds('audit'), name: 'audit-tap' });
  await bus.ensureStream(streams.AUDIT);
  const records: AuditRecord[] = [];
  const waiting = new Set<() => void>();
  const { stream, durable } = durables.auditIngest;
  bus.consume({ stream, durable, consumer: {} }, async (messages) => {
    for (const { data } of messages) {
      const event = JSON.parse(Buffer.from(data).toString('utf8')) as { data: unknown };
      records.push(conform(auditMessage, event.data).record);
    }
    for (const look of waiting) look();
  });
  return {
    records,
    recorded: (fits) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = records.find(fits);
          if (!found) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
    close: bus.close,
  };
}
