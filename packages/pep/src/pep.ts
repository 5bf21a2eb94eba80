import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Bus, connectBus, createVerifier, type Verifier } from '@remit/bus';
import type { ProofAlgorithm, TokenAlgorithm, VerifyKey } from '@remit/capability/token';
import { conform, type Rev, type TrustFile, trustFile } from '@remit/contracts';
import { createRecorder, type Recorder } from '@remit/recorder';
import { createRevocationView } from '@remit/revocation-view';
import { LRUCache } from 'lru-cache';
import { createBudgets } from './budgets.ts';
import type { DecideDeps } from './decide.ts';
import { createEnforcement, type Enforcement } from './enforce.ts';
import { PepError } from './error.ts';
import { followFeed } from './feed.ts';
import { createIssuerKeys } from './issuer-keys.ts';
import { type ResourceDescription, type ResourceMetadata, resourceMetadata } from './metadata.ts';
import { createNonces } from './nonces.ts';
import { createObligations, type ObligationHandlers } from './obligations.ts';
import { createOffers, type Offers } from './offer.ts';
import { createPossession, type Possession } from './possession.ts';
import { createReplayMemory } from './replay.ts';
import { createSharedProofs } from './shared-proofs.ts';
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
  /**
   * What keeps a proof from being used twice. `own` (default): this instance's memory, so that a proof
   * may be used once at each instance of an audience within its window. `nonce`: the same, and proofs
   * carry a nonce of this instance alone; callers need to come back to it. `shared`: each proof is
   * claimed at the revocation service, once over all instances; a call over the bus in front of each.
   */
  replay?: 'own' | 'nonce' | 'shared';
  /** Seconds that a proof may be away from the feed's clock, 1 to 300. Default 10. */
  proofWindowSeconds?: number;
  /** Whether tokens that are bound to no key are taken, which the registry allows some agents. Default false. */
  acceptBearer?: boolean;
  /** What to add to the metadata of this resource; `false` when it has none. */
  metadata?: ResourceDescription | false;
  /** Accepted signatures of tokens. Default ML-DSA-65, ML-DSA-44 and Ed25519. */
  algorithms?: readonly TokenAlgorithm[];
  /** Accepted signatures of DPoP proofs and of links. Default ES256 and Ed25519. */
  proofAlgorithms?: readonly ProofAlgorithm[];
  /** Verified tokens kept; each costs a few KB. Default 10,000. */
  maxCachedTokens?: number;
  /** Used proofs remembered per two windows. Default 200,000. */
  maxProofs?: number;
  /** What this tool can fulfil of what guardrails ask for beyond yes and no. Default nothing. */
  obligations?: ObligationHandlers;
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

export type Pep = Enforcement &
  Offers & {
    readonly audience: string;
    /** The protected resource metadata (RFC 9728); serve it at its path, as the Fastify plugin does. */
    readonly metadata?: ResourceMetadata | undefined;
    /** Whether anything can be allowed now, and why not. */
    health(): {
      fresh: boolean;
      bus: string;
      /** How far the log of revocations is applied; undefined before the first snapshot. */
      rev: Rev | undefined;
      revocations: number;
      refusedMessages: number;
    };
    close(): Promise<void>;
    [Symbol.asyncDispose](): Promise<void>;
  };

/**
 * Makes an enforcement point for one tool and one tenant: connects to the bus, follows the tenant's
 * revocations and waits until its picture of them is fresh.
 * Checks on every call: signature, issuer, audience, links that were handed on offline, time,
 * possession, revocation, scope, arguments, and freshness again after each wait. Spends of the budgets
 * of a token that has some (`nothingDone` says what to give back), and consumes the single use of a
 * token that has one, which is burned when the record can't be kept or the process ends before the
 * tool ran. Does not check TLS
 * or who sits behind `source`.
 * Throws PepError `TRUST_INVALID`, `CONFIG_INVALID`, and what the bus throws.
 */
export async function createPep(options: PepOptions): Promise<Pep> {
  const { tenant } = options;
  const trust = readTrust(options.trust);
  const issuer = Object.hasOwn(trust.tenants, tenant) ? trust.tenants[tenant] : undefined;
  if (!issuer)
    throw new PepError('TRUST_INVALID', 'the trust file does not name the tenant', { tenant });
  const cleanup = new AsyncDisposableStack();
  try {
    return await assemble(options, trust, issuer, cleanup);
  } catch (cause) {
    await cleanup.disposeAsync();
    throw cause;
  }
}

async function assemble(
  options: PepOptions,
  trust: TrustFile,
  issuer: TrustFile['tenants'][string],
  cleanup: AsyncDisposableStack,
): Promise<Pep> {
  const { tenant, audience } = options;
  const monotonicMs = options.monotonicMs ?? (() => performance.now());
  const view = createRevocationView({
    tenant,
    hashSeed: randomInt(2 ** 32),
    wallMs: Date.now,
    ...(options.maxStaleMs === undefined ? {} : { maxStaleMs: options.maxStaleMs }),
  });
  const verifiers = {
    revocation: createVerifier({ keys: trust.keys.revocation }),
    mark: createVerifier({ keys: trust.keys.audit_mark }),
    pdp: createVerifier({ keys: trust.keys.pdp }),
  };

  const bus = 'url' in options.nats ? await openBus(options.nats, cleanup) : options.nats;
  const recorder = options.recorder ?? openRecorder(options, bus, verifiers.mark, cleanup);
  const keys = createIssuerKeys({
    jwksUri: issuer.jwks_uri,
    monotonicMs,
    ...(options.fetch ? { fetch: options.fetch } : {}),
  });
  const refreshing = setInterval(() => void keys.refresh(), KEY_REFRESH_MS);
  refreshing.unref();
  cleanup.defer(() => clearInterval(refreshing));

  const tokens = createTokenVerifier({
    issuer: issuer.issuer,
    tenant,
    audience,
    algorithms: options.algorithms ?? ['ML-DSA-65', 'ML-DSA-44', 'Ed25519'],
    keys,
    links: {
      algorithms: proofAlgorithmsOf(options),
      keyCache: new LRUCache<string, VerifyKey>({ max: options.maxCachedTokens ?? 10_000 }),
    },
    ...(options.maxCachedTokens === undefined ? {} : { maxCached: options.maxCachedTokens }),
  });
  const feed = followFeed({
    bus,
    verifier: verifiers.revocation,
    tenant,
    view,
    monotonicMs,
    onEvent: ({ kind, id }) => {
      if (kind === 'key') tokens.forgetKey(id);
    },
  });
  cleanup.defer(() => feed.stop());

  const deps: DecideDeps = {
    tenant,
    audience,
    view,
    feed,
    bus,
    monotonicMs,
    pdpKeys: verifiers.pdp,
    tokens,
    possession: openPossession(options, { bus, verifier: verifiers.revocation, monotonicMs }),
    uses: createSingleUses({ bus, tenant, audience, verifier: verifiers.revocation, monotonicMs }),
    obligations: createObligations(options.obligations),
    budgets: createBudgets({ bus, tenant, audience, verifier: verifiers.revocation }),
  };
  const acceptBearer = options.acceptBearer ?? false;
  const metadata =
    options.metadata === false
      ? undefined
      : resourceMetadata({
          audience,
          issuer: issuer.issuer,
          proofAlgorithms: proofAlgorithmsOf(options),
          acceptBearer,
          description: options.metadata,
        });

  try {
    await Promise.all([keys.refresh(), feed.ready(options.readyTimeoutMs ?? 10_000)]);
  } catch (cause) {
    throw new PepError(
      'CONFIG_INVALID',
      'the revocation feed could not be followed',
      { tenant },
      cause,
    );
  }

  const close = () => cleanup.disposeAsync();
  const challenge = {
    algs: proofAlgorithmsOf(options),
    acceptBearer,
    metadataUrl: metadata?.url,
  };
  return {
    audience,
    metadata,
    ...createEnforcement(deps, recorder, challenge),
    ...createOffers(deps, recorder, challenge),
    health: () => ({
      fresh: view.fresh(monotonicMs()),
      bus: bus.status(),
      rev: view.rev(),
      revocations: view.stats().entries,
      refusedMessages: feed.refused(),
    }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

const proofAlgorithmsOf = ({ proofAlgorithms }: PepOptions): readonly ProofAlgorithm[] =>
  proofAlgorithms ?? ['ES256', 'Ed25519'];

function openPossession(
  options: PepOptions,
  parts: { bus: Bus; verifier: Verifier; monotonicMs: () => number },
): Possession {
  const { tenant, audience, replay = 'own', proofWindowSeconds: windowSeconds = 10 } = options;
  const { bus, verifier, monotonicMs } = parts;
  if (!(windowSeconds >= 1 && windowSeconds <= 300)) {
    throw new PepError('CONFIG_INVALID', 'proofWindowSeconds is not within 1 to 300', {
      windowSeconds,
    });
  }
  if (!['own', 'nonce', 'shared'].includes(replay)) {
    throw new PepError('CONFIG_INVALID', 'replay is neither own, nonce nor shared', { replay });
  }
  return createPossession({
    algorithms: proofAlgorithmsOf(options),
    windowSeconds,
    acceptBearer: options.acceptBearer ?? false,
    memory: createReplayMemory({
      windowSeconds,
      ...(options.maxProofs === undefined ? {} : { maxEntries: options.maxProofs }),
    }),
    keyCache: new LRUCache<string, VerifyKey>({ max: options.maxCachedTokens ?? 10_000 }),
    nonces: replay === 'nonce' ? createNonces({ monotonicMs }) : undefined,
    shared:
      replay === 'shared'
        ? createSharedProofs({ bus, tenant, audience, verifier, windowSeconds })
        : undefined,
  });
}

async function openBus(
  nats: Exclude<PepOptions['nats'], Bus>,
  cleanup: AsyncDisposableStack,
): Promise<Bus> {
  const bus = await connectBus({ ...nats, name: nats.user });
  cleanup.defer(() => bus.close());
  return bus;
}

function openRecorder(
  options: PepOptions,
  bus: Bus,
  markVerifier: Verifier,
  cleanup: AsyncDisposableStack,
): Recorder {
  const recorder = createRecorder({
    bus,
    producer: {
      service: bus.user,
      instance: options.instance ?? bus.instance,
      version: options.version ?? '0.1.0',
    },
    spoolDir: options.spoolDir,
    markVerifier,
  });
  cleanup.defer(() => recorder.close());
  return recorder;
}

const KEY_REFRESH_MS = 300_000;

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
