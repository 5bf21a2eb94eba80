import { randomBytes } from 'node:crypto';
import type { VerifyKey } from '@remit/capability';
import { type App, type KitDeps, openKit, readJsonFile } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import { createServices } from './bus/services.ts';
import type { IssuerConfig } from './config.ts';
import { publishedRoutes } from './http/published.ts';
import { tokenRoute } from './http/token.ts';
import { introspectionRoute, revocationRoute } from './http/token-state.ts';
import { issuerUrl } from './metadata.ts';
import { createIssuerMetrics } from './metrics.ts';
import { createProofNonces } from './proof-nonces.ts';
import { createNonceSecret } from './store/nonce-secret.ts';
import { createReplayMemory } from './store/replay.ts';
import type { IssuerTables } from './store/schema.ts';
import { createTaskStore } from './store/tasks.ts';
import { createTokenKeys } from './token-keys.ts';

export const VERSION = '0.1.0';

const FORGET_EVERY_MS = 60_000;
const MAX_PROOF_KEYS = 10_000;

/**
 * Builds the issuer: the only holder of the keys that sign capability tokens. It decides nothing
 * itself; every token rests on a decision of the pdp. Used by main and by tests.
 */
export async function build(
  config: IssuerConfig,
  deps: KitDeps = {},
): Promise<App & { http: FastifyInstance; reload: () => Promise<void> }> {
  const kit = await openKit<IssuerTables>({ name: 'issuer', version: VERSION, config, deps });
  const { bus, clock, database, directory, http, idpKeys, lifecycle, log, recorder } = kit;
  try {
    const tokenKeys = createTokenKeys(readJsonFile(config.tokenKeysFile));
    const metrics = createIssuerMetrics(kit.metrics, tokenKeys);
    const replay = createReplayMemory(database);
    const { publicUrl } = config;
    const issuer = {
      publicUrl,
      proofWindowSeconds: config.dpopWindowSeconds,
      proofKeys: new LRUCache<string, VerifyKey>({ max: MAX_PROOF_KEYS }),
      nonces:
        config.dpopNonceSeconds === 0
          ? undefined
          : createProofNonces({
              secret: createNonceSecret(database),
              lifeSeconds: config.dpopNonceSeconds,
            }),
      services: createServices(bus, kit.verifiers, directory),
      idpKeys,
      tokenKeys,
      replay,
      tasks: createTaskStore(database),
      clock,
      randomId: () => randomBytes(16).toString('base64url'),
    };
    publishedRoutes(http, { publicUrl, tokenKeys });
    const endpoint = { issuer, recorder, metrics, log };
    tokenRoute(http, endpoint);
    introspectionRoute(http, endpoint);
    revocationRoute(http, endpoint);
    for (const tenant of tokenKeys.tenants()) {
      const trusted = kit.trust.tenants[tenant]?.issuer;
      if (trusted === issuerUrl(publicUrl, tenant)) continue;
      log.warn({ tenant, trusted }, 'the trust file names another issuer for this tenant');
    }

    async function forget(): Promise<void> {
      try {
        metrics.forgotten.add({}, await replay.forgetExpired(clock.now()));
      } catch (error) {
        log.warn({ err: error }, 'the replay memory was not tidied');
      }
    }

    const reload = async (): Promise<void> => {
      try {
        tokenKeys.replace(readJsonFile(config.tokenKeysFile));
        metrics.reloads.add({ outcome: 'ok' });
      } catch (error) {
        metrics.reloads.add({ outcome: 'failed' });
        throw error;
      }
    };
    const app = kit.app({
      start: () => {
        const timer = setInterval(() => void forget(), FORGET_EVERY_MS);
        timer.unref();
        lifecycle.onStop('consumers', 'replay memory', () => clearInterval(timer));
      },
      reload,
    });
    return { ...app, reload };
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}
