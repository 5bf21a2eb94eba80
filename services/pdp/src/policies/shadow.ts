import { setTimeout as wait } from 'node:timers/promises';
import type { EvaluateResponse, MintRequest, MintResponse } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import type { Clock, Database, Logger, Metrics } from '@remit/service-kit';
import type { Engine } from '../cedar/engine.ts';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import { type EvaluationRequest, evaluate } from '../decide/evaluate.ts';
import type { RegistryFacts } from '../decide/facts.ts';
import { mint } from '../mint/mint.ts';
import {
  addShadowResults,
  insertShadow,
  type ShadowRef,
  type StoredDifference,
  shadowOf,
  shadowResults,
  type Tally,
} from '../store/shadow.ts';
import type { PdpTables } from '../store/tables.ts';
import type { Policies } from './policies.ts';
import { outcomeOf, sameOutcome } from './shadow-difference.ts';

/** A decision that was made and answered, with the facts that it was made from. */
export type Decided = { tenant: string; facts: RegistryFacts } & (
  | { kind: 'evaluate'; request: EvaluationRequest; answer: EvaluateResponse }
  | { kind: 'mint'; request: MintRequest & { tenant: string }; answer: MintResponse }
);

/** A version that is decided beside the active one and never enforced. */
export type Shadow = {
  /**
   * Takes note of a decision, to be made again under the version in shadow. Returns at once, throws
   * nothing and gives nothing back: what shadow says can't reach the answer.
   */
  observe: (decided: Decided) => void;
  /** Begins with a version, or ends. Throws PdpError `POLICY_VERSION_UNKNOWN`, `POLICY_ERROR`. */
  set: (request: { tenant: string; version: string | null; by: string }) => Promise<void>;
  /** What a version in shadow would have decided otherwise, the newest first. */
  results: (
    tenant: string,
    options: { version?: string | undefined; limit: number },
  ) => Promise<{
    shadow: ShadowRef | null;
    version: string | null;
    tally: Tally;
    differences: StoredDifference[];
  }>;
  /** Decides what still waits, and stops. */
  stop: () => Promise<void>;
};

const MAX_WAITING = 2_000;
const LOOK_AGAIN_MS = 1_000;
const GATHER_MS = 50;
const AT_ONCE = 256;
const YIELD_EVERY = 8;

export function createShadow(options: {
  database: Database<PdpTables>;
  policies: Pick<Policies, 'get'>;
  engine: Engine;
  recorder: Recorder;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}): Shadow {
  const { database, policies, engine, recorder, clock, log, metrics } = options;
  const waiting: { decided: Decided; nowMs: number }[] = [];
  // Nothing is enforced by it, so what is known may be a second old.
  const known = new Map<string, { version: string | undefined; readAtMs: number }>();
  let draining: Promise<void> | undefined;
  let stopped = false;
  const dropped = metrics.counter(
    'remit_pdp_shadow_dropped_total',
    'Decisions that a version in shadow did not see, because too many waited or the store was away.',
  );

  async function versionFor(tenant: string): Promise<string | undefined> {
    const read = known.get(tenant);
    if (read && clock.now() - read.readAtMs < LOOK_AGAIN_MS) return read.version;
    const found = await database.withTenant(tenant, (trx) => shadowOf(trx, tenant), {
      readOnly: true,
    });
    known.set(tenant, { version: found?.version, readAtMs: clock.now() });
    return found?.version;
  }

  async function decideBeside(tenant: string, these: typeof waiting): Promise<void> {
    const version = await versionFor(tenant);
    if (version === undefined) return;
    const set = await policies.get(tenant, version);
    const tally: Tally = { same: 0, different: 0, failed: 0 };
    const differences: StoredDifference[] = [];
    for (const [position, { decided, nowMs }] of these.entries()) {
      if (position % YIELD_EVERY === 0) await wait(0);
      if (decided.answer.policy_version === version) continue;
      try {
        const difference = compare(engine, set, decided, nowMs);
        if (difference) differences.push(difference);
        tally[difference ? 'different' : 'same'] += 1;
      } catch (error) {
        tally.failed += 1;
        log.warn({ err: error, version }, 'a version in shadow could not decide');
      }
    }
    await database.withTenant(tenant, (trx) =>
      addShadowResults(trx, tenant, version, { tally, differences }),
    );
  }

  async function drain(): Promise<void> {
    await wait(GATHER_MS);
    while (waiting.length > 0) {
      const some = waiting.splice(0, AT_ONCE);
      const byTenant = Map.groupBy(some, ({ decided }) => decided.tenant);
      for (const [tenant, these] of byTenant) {
        try {
          await decideBeside(tenant, these);
        } catch (error) {
          dropped.add({}, these.length);
          log.warn({ err: error, tenant }, 'decisions were not seen by the version in shadow');
        }
      }
    }
  }

  return {
    observe(decided) {
      const read = known.get(decided.tenant);
      const nowMs = clock.now();
      const none = read && read.version === undefined && nowMs - read.readAtMs < LOOK_AGAIN_MS;
      if (none || stopped) return;
      if (waiting.length >= MAX_WAITING) {
        dropped.add();
        return;
      }
      waiting.push({ decided, nowMs });
      draining ??= drain().finally(() => {
        draining = undefined;
      });
    },

    async set({ tenant, version, by }) {
      const set = version === null ? undefined : await policies.get(tenant, version);
      await database.withTenant(tenant, async (trx) => {
        await insertShadow(trx, { tenant, version: set?.version ?? null, set_by: by });
        await recorder.record(tenant, {
          event: 'policy.shadowed',
          decision: 'allow',
          reason: 'permitted',
          principal: by,
          ...(set ? { policy_version: set.version } : {}),
          detail: { change: set ? 'started' : 'ended' },
        });
      });
      known.set(tenant, { version: set?.version, readAtMs: clock.now() });
    },

    results: (tenant, { version, limit }) =>
      database.withTenant(
        tenant,
        async (trx) => {
          const shadow = (await shadowOf(trx, tenant)) ?? null;
          const asked = version ?? shadow?.version ?? null;
          const found =
            asked === null
              ? { tally: { same: 0, different: 0, failed: 0 }, differences: [] }
              : await shadowResults(trx, tenant, asked, limit);
          return { shadow, version: asked, ...found };
        },
        { readOnly: true },
      ),

    async stop() {
      stopped = true;
      await draining;
    },
  };
}

/** Makes a decision again under another set, with the facts and the time that it had. */
function compare(
  engine: Engine,
  set: GuardrailSet,
  decided: Decided,
  nowMs: number,
): StoredDifference | undefined {
  const deps = { engine, nowMs: () => nowMs, newId: () => decided.answer.id };
  const { kind, facts, request } = decided;
  const active = outcomeOf(decided.answer);
  const shadow = outcomeOf(
    kind === 'evaluate'
      ? evaluate(deps, facts, set, decided.request)
      : mint(deps, facts, set, decided.request),
  );
  if (sameOutcome(active, shadow)) return undefined;
  return {
    id: decided.answer.id,
    at: new Date(nowMs).toISOString(),
    active_version: decided.answer.policy_version,
    kind,
    actors: request.actors,
    task_type: request.task.type,
    ...(kind === 'evaluate'
      ? {
          action: decided.request.operation.action,
          resource: decided.request.operation.resource,
        }
      : {}),
    active,
    shadow,
  };
}
