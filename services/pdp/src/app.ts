import { randomUUIDv7 } from 'node:crypto';
import type { Handlers } from '@remit/bus';
import { streams } from '@remit/contracts';
import { type App, createOutbox, type KitDeps, openKit, readSigner } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { createBeats } from './bus/beats.ts';
import { createEngine } from './cedar/engine.ts';
import type { PdpConfig } from './config.ts';
import { createDecider } from './decide/decider.ts';
import { createExternal } from './decide/external.ts';
import { createResolver } from './decide/resolve.ts';
import { createSessions } from './decide/sessions.ts';
import { createAdmit } from './http/admit.ts';
import { authzenRoutes } from './http/authzen.ts';
import { externalsOf, readAuthzenFile } from './http/authzen-callers.ts';
import { policyRoutes } from './http/policies.ts';
import { shadowRoutes } from './http/shadow.ts';
import { whatIfRoutes } from './http/whatif.ts';
import { announceExternals } from './policies/external-change.ts';
import { createPolicies, type Policies } from './policies/policies.ts';
import { createShadow } from './policies/shadow.ts';
import type { PdpTables } from './store/tables.ts';

export const VERSION = '0.1.0';

/**
 * Builds the pdp: decides over the bus for PEPs and the issuer, over HTTP for AuthZEN clients, and
 * keeps the tenants' policy sets. Used by main, by the loader and by tests.
 */
export async function build(
  config: PdpConfig,
  deps: KitDeps = {},
): Promise<App & { http: FastifyInstance; policies: Policies }> {
  const kit = await openKit<PdpTables>({ name: 'pdp', version: VERSION, config, deps });
  const { bus, clock, database, directory, http, lifecycle, log, metrics, recorder } = kit;
  try {
    const signer = readSigner(config.busSignerFile);
    const engine = createEngine();
    const outbox = createOutbox<PdpTables>({
      database,
      log,
      send: async ({ subject, payload, messageId }) => {
        await bus.publishRecord(subject, payload, messageId);
      },
    });
    const policies = createPolicies({
      database,
      outbox,
      signer,
      recorder,
      directory,
      engine,
      clock,
    });

    const badData = metrics.counter(
      'remit_pdp_registry_data_refused_total',
      'Envelopes and scopes of the registry that could not be used.',
    );
    const policyErrors = metrics.counter(
      'remit_pdp_policy_errors_total',
      'Decisions refused because a policy could not be evaluated. Should be 0.',
    );
    metrics.gauge('remit_pdp_cedar_evaluations', 'Evaluations by Cedar since the start.', () => {
      return engine.stats().evaluations;
    });
    metrics.gauge('remit_pdp_cedar_slices_prepared', 'Slices parsed since the start.', () => {
      return engine.stats().prepared;
    });
    metrics.gauge('remit_pdp_cedar_slice_hits', 'Evaluations of a slice that was parsed.', () => {
      return engine.stats().hits;
    });
    metrics.gauge('remit_pdp_outbox_unsent', 'Policy events that wait to be sent.', () => {
      return outbox.lag().unsent;
    });

    const resolve = createResolver({
      directory,
      envelopeVerifier: kit.verifiers.envelope,
      log,
      onBadData: () => badData.add(),
    });
    const file = readAuthzenFile(config.authzenFile);
    const sessions = createSessions({ database, clock, log });
    const external = createExternal({ tenants: externalsOf(file), log, metrics });
    const shadow = createShadow({ database, policies, engine, recorder, clock, log, metrics });
    const decider = createDecider({
      engine,
      shadow,
      sessions,
      external,
      policies,
      metrics,
      nowMs: () => clock.now(),
      newId: randomUUIDv7,
      onPolicyError: (failed) => {
        policyErrors.add();
        log.error(
          { policies: failed },
          'a policy could not be evaluated, so the request is refused',
        );
      },
      resolve,
    });
    const beats = createBeats({ bus, signer, head: outbox.head, clock, log, metrics });
    const admit = createAdmit(kit.people, recorder);
    policyRoutes(http, { policies, admit });
    shadowRoutes(http, { shadow, admit });
    whatIfRoutes(http, { policies, engine, resolve, directory, recorder, admit });
    const { publicUrl, maxInFlight = 256 } = config;
    authzenRoutes(http, {
      decider,
      directory,
      recorder,
      admit,
      metrics,
      publicUrl,
      file,
      maxInFlight,
    });
    kit.publishKeys(() => [signer]);

    const handlers: Handlers<'pdp'> = {
      evaluate: ({ tenant }, body) => decider.evaluate({ ...body, tenant }),
      filter: ({ tenant }, body) => decider.filter({ ...body, tenant }),
      mint: ({ tenant }, body) => decider.mint({ ...body, tenant }),
    };
    const app = kit.app({
      start: async () => {
        await bus.ensureStream(streams.POLICY, { replicas: config.streamReplicas });
        await announceExternals({ database, outbox, signer, clock }, externalsOf(file));
        outbox.start();
        beats.start();
        sessions.start();
        lifecycle.onStop('consumers', 'shadow', () => shadow.stop());
        lifecycle.onStop('consumers', 'sessions', () => sessions.stop());
        lifecycle.onStop('recorder', 'outbox', () => outbox.stop());
        lifecycle.onStop('consumers', 'beats', () => beats.stop());
        kit.serve('pdp', handlers, signer, { maxInFlight });
      },
    });
    return { ...app, policies };
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}
