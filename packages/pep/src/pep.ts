import { randomInt, randomUUIDv7 } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Bus, connectBus, createVerifier } from '@remit/bus';
import { describeMiss, type Miss } from '@remit/capability/scope';
import type {
  Capability,
  ProofAlgorithm,
  TokenAlgorithm,
  VerifyKey,
} from '@remit/capability/token';
import { conform, REASONS, type Reason, type TrustFile, trustFile } from '@remit/contracts';
import { createRecorder, type Recorder } from '@remit/recorder';
import { createRevocationView } from '@remit/revocation-view';
import { LRUCache } from 'lru-cache';
import { type Asked, type DecideDeps, decide, type Finding, standingOf } from './decide.ts';
import { PepError } from './error.ts';
import { followFeed } from './feed.ts';
import { createIssuerKeys } from './issuer-keys.ts';
import type { Presented } from './presented.ts';
import { callRecord, finishRecord } from './record.ts';
import { answerOf, challengeOf } from './refusal.ts';
import { createReplayMemory } from './replay.ts';
import { createSingleUses } from './single-use.ts';
import { createTokenVerifier } from './verified-token.ts';

export type PepOptions = {
  tenant: string;
  /** This tool's audience, byte for byte as in tokens, e.g. `https://erp.example`. */
  audience: string;
  /** The trust file, or where it lies. It is the one thing given by hand. */
  trust: TrustFile | string;
  /** The bus: a connection, or where to connect. `user` is this PEP's name and audit producer. */
  nats: Bus | { url: string; user: string; seed: string };
  /** A directory of this PEP's own, in which records wait until the ledger has them. */
  spoolDir: string;
  /** Oldest age of the youngest beat at which anything is allowed, ms. Default 3000. */
  maxStaleMs?: number;
  /** Seconds that a proof may be away from the feed's clock. Default 10. */
  proofWindowSeconds?: number;
  /** Accepted signatures of tokens. Default ML-DSA-65, ML-DSA-44 and Ed25519. */
  algorithms?: readonly TokenAlgorithm[];
  /** Accepted signatures of DPoP proofs. Default ES256 and Ed25519. */
  proofAlgorithms?: readonly ProofAlgorithm[];
  /** Verified tokens kept; each costs a few KB. Default 10,000. */
  maxCachedTokens?: number;
  /** Used proofs remembered per two windows. Default 200,000. */
  maxProofs?: number;
  /** How long `createPep` waits for the first fresh view, ms. Default 10,000. */
  readyTimeoutMs?: number;
  /** Monotonic milliseconds. Default `performance.now`. */
  monotonicMs?: () => number;
  fetch?: typeof fetch;
  version?: string;
  instance?: string;
  /** Takes the place of the recorder on the bus, e.g. for a bench of the check alone. */
  recorder?: Recorder;
};

/** A call that may happen. `operation` is the frozen copy that was checked: use it, not the request. */
export type Allowed = {
  readonly allow: true;
  /** Names this decision in the ledger. */
  readonly id: string;
  readonly operation: Asked & { readonly args: Readonly<Record<string, unknown>> };
  /** The launching principal: a user. */
  readonly principal: string;
  /** Agents of the chain, the originating one first. */
  readonly actors: readonly string[];
  readonly task: Capability['task'];
  readonly capability: Capability;
};

/** A call that may not. What is in here may be shown to the caller; the record holds the rest. */
export type Refused = {
  readonly allow: false;
  readonly id: string;
  readonly reason: Reason;
  /** The sentence of the reason, or of the nearest miss. Never a bound, a policy or a foreign scope. */
  readonly explanation: string;
  readonly dimension?: 'agent' | 'user' | 'task' | 'policies';
  /** HTTP status. */
  readonly status: 400 | 401 | 403 | 503;
  /** `WWW-Authenticate`, for 401 and 403. */
  readonly challenge?: string;
};

export type Pep = {
  readonly audience: string;
  /** Decides one call and leaves one record, or refuses because none can be left. Never throws. */
  decide(presented: Presented, asked: Asked): Promise<Allowed | Refused>;
  /** Records how an allowed call ended. Never throws: the call has happened. */
  finished(call: Allowed, outcome: 'ok' | 'failed', durationMs: number): Promise<void>;
  /** Whether anything can be allowed now, and why not. */
  health(): { fresh: boolean; bus: string; revocations: number; refusedMessages: number };
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * Makes an enforcement point for one tool and one tenant: connects to the bus, follows the tenant's
 * revocations and waits until its picture of them is fresh.
 * Checks on every call: signature, issuer, audience, time, possession, revocation, scope, arguments,
 * and freshness again after each wait; and it consumes the single use of a token that has one, which is
 * burned when the record can't be kept or the process ends before the tool ran. Does not check TLS
 * or who sits behind `source`.
 * Throws PepError `TRUST_INVALID`, `CONFIG_INVALID`, and what the bus throws.
 */
export async function createPep(options: PepOptions): Promise<Pep> {
  const { tenant, audience } = options;
  const trust = readTrust(options.trust);
  const issuer = Object.hasOwn(trust.tenants, tenant) ? trust.tenants[tenant] : undefined;
  if (!issuer)
    throw new PepError('TRUST_INVALID', 'the trust file does not name the tenant', { tenant });
  const monotonicMs = options.monotonicMs ?? (() => performance.now());
  const owned =
    'url' in options.nats
      ? await connectBus({ ...options.nats, name: options.nats.user })
      : undefined;
  const bus = owned ?? (options.nats as Bus);

  const view = createRevocationView({
    tenant,
    hashSeed: randomInt(2 ** 32),
    ...(options.maxStaleMs === undefined ? {} : { maxStaleMs: options.maxStaleMs }),
  });
  const revocationKeys = createVerifier({ keys: trust.keys.revocation });
  const feed = followFeed({
    bus,
    verifier: revocationKeys,
    tenant,
    view,
    monotonicMs,
  });
  const keys = createIssuerKeys({
    jwksUri: issuer.jwks_uri,
    monotonicMs,
    ...(options.fetch ? { fetch: options.fetch } : {}),
  });
  const refreshing = setInterval(() => void keys.refresh(), KEY_REFRESH_MS);
  refreshing.unref();
  const recorder =
    options.recorder ??
    createRecorder({
      bus,
      producer: {
        service: bus.user,
        instance: options.instance ?? bus.instance,
        version: options.version ?? '0.1.0',
      },
      spoolDir: options.spoolDir,
      markVerifier: createVerifier({ keys: trust.keys.audit_mark }),
    });

  const deps: DecideDeps = {
    tenant,
    audience,
    view,
    feed,
    bus,
    monotonicMs,
    pdpKeys: createVerifier({ keys: trust.keys.pdp }),
    tokens: createTokenVerifier({
      issuer: issuer.issuer,
      tenant,
      audience,
      algorithms: options.algorithms ?? ['ML-DSA-65', 'ML-DSA-44', 'Ed25519'],
      keys,
      ...(options.maxCachedTokens === undefined ? {} : { maxCached: options.maxCachedTokens }),
    }),
    replay: createReplayMemory({
      windowSeconds: options.proofWindowSeconds ?? 10,
      ...(options.maxProofs === undefined ? {} : { maxEntries: options.maxProofs }),
    }),
    uses: createSingleUses({ bus, tenant, audience, verifier: revocationKeys, monotonicMs }),
    proofWindowSeconds: options.proofWindowSeconds ?? 10,
    proofAlgorithms: options.proofAlgorithms ?? ['ES256', 'Ed25519'],
    proofKeys: new LRUCache<string, VerifyKey>({ max: options.maxCachedTokens ?? 10_000 }),
  };

  async function close(): Promise<void> {
    clearInterval(refreshing);
    await feed.stop();
    if (!options.recorder) await recorder.close();
    await owned?.close();
  }

  try {
    await Promise.all([keys.refresh(), feed.ready(options.readyTimeoutMs ?? 10_000)]);
  } catch (cause) {
    await close();
    throw new PepError(
      'CONFIG_INVALID',
      'the revocation feed could not be followed',
      { tenant },
      cause,
    );
  }

  return {
    audience,
    async decide(presented, asked) {
      const startedAt = monotonicMs();
      const id = randomUUIDv7();
      const finding = await decide(deps, presented, asked);
      const { caller } = finding;
      const latencyUs = Math.max(0, Math.round((monotonicMs() - startedAt) * 1_000));
      if (!caller) {
        recorder.countStranger(tenant, {
          source: presented.source ?? 'unknown',
          reason: finding.reason,
        });
        return refused(id, finding);
      }
      const context = { id, audience, asked, latencyUs, rev: view.rev() };
      try {
        await recorder.record(tenant, callRecord(context, finding, caller));
      } catch {
        // No record, no action, and a use that was consumed is burned. A refusal stays what it was.
        return refused(
          id,
          finding.reason === 'permitted' ? { ...finding, reason: 'audit_unavailable' } : finding,
        );
      }
      if (finding.reason !== 'permitted' || !finding.operation) return refused(id, finding);
      // Recording waited for the bus or the disk: what was live may be revoked or stale by now.
      const standing = standingOf(deps, caller);
      if (standing !== 'live' && standing !== 'recheck') {
        const late: Finding = { ...finding, reason: standing };
        await recorder
          .record(
            tenant,
            callRecord({ ...context, id: randomUUIDv7(), supersedes: id }, late, caller),
          )
          .catch(() => undefined);
        return refused(id, late);
      }
      const { capability } = caller;
      return {
        allow: true,
        id,
        operation: finding.operation,
        principal: capability.subject,
        actors: capability.actors,
        task: capability.task,
        capability,
      };
    },
    async finished(call, outcome, durationMs) {
      await recorder
        .record(tenant, finishRecord(call, audience, outcome, durationMs))
        .catch(() => undefined);
    },
    health: () => ({
      fresh: view.fresh(monotonicMs()),
      bus: bus.status(),
      revocations: view.stats().entries,
      refusedMessages: feed.refused(),
    }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

const KEY_REFRESH_MS = 300_000;

function refused(id: string, finding: Finding): Refused {
  const { reason, dimensions, miss, operation } = finding;
  const challenge = challengeOf(reason);
  const dimension = (['agent', 'user', 'task', 'policies'] as const).find(
    (name) => dimensions[name] === 'deny',
  );
  const near =
    miss && operation && dimension === 'task' && miss.kind !== 'empty'
      ? { ...miss, ...operation }
      : undefined;
  return {
    allow: false,
    id,
    reason,
    explanation: near ? describeMiss(near as unknown as Miss) : REASONS[reason],
    status: answerOf(reason).status,
    ...(dimension ? { dimension } : {}),
    ...(challenge ? { challenge } : {}),
  };
}

function readTrust(trust: TrustFile | string): TrustFile {
  try {
    return conform(
      trustFile,
      typeof trust === 'string' ? JSON.parse(readFileSync(trust, 'utf8')) : trust,
    );
  } catch (cause) {
    throw new PepError('TRUST_INVALID', 'the trust file cannot be read', {}, cause);
  }
}
