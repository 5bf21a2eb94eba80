import { randomBytes } from 'node:crypto';
import { scope } from '@remit/capability/scope';
import {
  type Capability,
  capabilityPayload,
  createProof,
  importSigner,
  importVerifyKey,
  type Signer,
} from '@remit/capability/token';
import type {
  ClaimRequest,
  ClaimResponse,
  ConsumeRequest,
  ConsumeResponse,
  EvaluateResponse,
  ReserveRequest,
  ReserveResponse,
  RevocationEntry,
} from '@remit/contracts';
import type { RecordInput } from '@remit/recorder';
import { createRevocationView } from '@remit/revocation-view';
import { exportJWK, generateKeyPair } from 'jose';
import { createBudgets } from './budgets.ts';
import type { DecideDeps } from './decide.ts';
import { createEnforcement } from './enforce.ts';
import { resourceMetadata } from './metadata.ts';
import { createObligations, type ObligationHandlers } from './obligations.ts';
import { createOffers } from './offer.ts';
import type { Pep } from './pep.ts';
import { createPossession } from './possession.ts';
import type { Presented } from './presented.ts';
import { createReplayMemory } from './replay.ts';
import { createSingleUses } from './single-use.ts';
import { createTokenVerifier } from './verified-token.ts';

export const AUDIENCE = 'https://erp.example';
const ISSUER = 'https://issuer.example/t/acme';
const PROOF_ALGORITHMS = ['ES256', 'Ed25519'] as const;
const EPOCH = 'epoch-1';
/** The feed's clock at monotonic 0, epoch ms. */
export const START_MS = 1_800_000_000_000;
const URL_CALLED = `${AUDIENCE}/suppliers/S-100`;

async function newSigner(alg: 'ML-DSA-65' | 'Ed25519' | 'ES256'): Promise<Signer> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return importSigner({ ...(await exportJWK(privateKey)), alg });
}

/**
 * Everything that a check needs with real keys and a real view, and with the three things of the
 * outside (clock, feed, PDP) in the test's hands.
 */
export async function checkFixture(
  overrides: {
    maxProofs?: number;
    maxUnknown?: number;
    acceptBearer?: boolean;
    obligations?: ObligationHandlers;
    /** What makes proofs good once beyond this instance. */
    possession?: (
      bus: DecideDeps['bus'],
      monotonicMs: () => number,
    ) => Partial<Parameters<typeof createPossession>[0]>;
  } = {},
) {
  const { acceptBearer = false, possession = () => ({}) } = overrides;
  const issuerKey = await newSigner('ML-DSA-65');
  const holder = await newSigner('ES256');
  const published = new Map([[issuerKey.kid, importKey(issuerKey)]]);
  const view = createRevocationView({ tenant: 'acme', maxStaleMs: 3_000 });
  const state = {
    nowMs: 0,
    seq: 0,
    beat: 0,
    refreshes: 0,
    pdp: [] as unknown[],
    pdpAnswer: undefined as undefined | (() => Promise<Partial<EvaluateResponse>>),
    claims: [] as ClaimRequest[],
    claim: undefined as undefined | ((asked: ClaimRequest) => Promise<ClaimResponse>),
    consumptions: [] as ConsumeRequest[],
    /** The revocation service's part; without one it is not reached. */
    consume: undefined as undefined | ((asked: ConsumeRequest) => Promise<ConsumeResponse>),
    reservations: [] as ReserveRequest[],
    /** The ledger's part, as `reserve`; without one it is not reached. */
    reserve: undefined as undefined | ((asked: ReserveRequest) => Promise<ReserveResponse>),
    /** `commit` and `release` with their attempts, as they were asked. */
    settled: [] as string[],
    settle: async (method: string): Promise<string> =>
      method === 'commit' ? 'committed' : 'released',
    catchUp: async () => {},
    /** Stands before every record: may wait, or throw as a full spool does. */
    recording: async (_input: RecordInput) => {},
  };
  const bus = {
    call: async (method: string, _tenant: string, body: unknown) => {
      if (method === 'revocation.consume') {
        state.consumptions.push(body as ConsumeRequest);
        if (!state.consume) throw new Error('no revocation service');
        return state.consume(body as ConsumeRequest);
      }
      if (method === 'revocation.reserve') {
        state.reservations.push(body as ReserveRequest);
        if (!state.reserve) throw new Error('no revocation service');
        return state.reserve(body as ReserveRequest);
      }
      if (method === 'revocation.commit' || method === 'revocation.release') {
        const name = method.slice('revocation.'.length);
        state.settled.push(`${name} ${(body as { attempt: string }).attempt}`);
        return { outcome: await state.settle(name) };
      }
      if (method === 'revocation.claim') {
        state.claims.push(body as ClaimRequest);
        if (!state.claim) throw new Error('no revocation service');
        return state.claim(body as ClaimRequest);
      }
      state.pdp.push(body);
      if (!state.pdpAnswer) throw new Error('no pdp');
      return {
        id: 'd',
        reason: 'permitted',
        policies: [],
        policy_version: 'v2',
        registry_revision: 7,
        ...(await state.pdpAnswer()),
      };
    },
  } as unknown as DecideDeps['bus'];

  const deps: DecideDeps = {
    tenant: 'acme',
    audience: AUDIENCE,
    view,
    monotonicMs: () => state.nowMs,
    feed: {
      ready: async () => {},
      catchUp: () => state.catchUp(),
      stop: async () => {},
      refused: () => 0,
    },
    possession: createPossession({
      algorithms: PROOF_ALGORITHMS,
      windowSeconds: 10,
      acceptBearer,
      memory: createReplayMemory({
        windowSeconds: 10,
        ...(overrides.maxProofs ? { maxEntries: overrides.maxProofs } : {}),
      }),
      keyCache: new Map(),
      ...possession(bus, () => state.nowMs),
    }),
    tokens: createTokenVerifier({
      issuer: ISSUER,
      tenant: 'acme',
      audience: AUDIENCE,
      algorithms: ['ML-DSA-65', 'Ed25519'],
      links: { algorithms: PROOF_ALGORITHMS, keyCache: new Map() },
      keys: {
        get: (kid) => published.get(kid),
        refresh: async () => {
          state.refreshes += 1;
        },
        size: () => published.size,
      },
    }),
    bus,
    obligations: createObligations(overrides.obligations),
    budgets: createBudgets({
      bus,
      tenant: 'acme',
      audience: AUDIENCE,
      verifier: {} as DecideDeps['pdpKeys'],
    }),
    uses: createSingleUses({
      bus,
      tenant: 'acme',
      audience: AUDIENCE,
      verifier: {} as DecideDeps['pdpKeys'],
      monotonicMs: () => state.nowMs,
      ...(overrides.maxUnknown === undefined ? {} : { maxUnknown: overrides.maxUnknown }),
    }),
    pdpKeys: {} as DecideDeps['pdpKeys'],
  };

  const nowSeconds = () => Math.floor((START_MS + state.nowMs) / 1_000);
  const random = () => randomBytes(16).toString('base64url');

  function hearFeed(): void {
    view.applyHead(
      {
        nonce: 'n',
        epoch: EPOCH,
        seq: state.seq,
        term: 1,
        time: START_MS + state.nowMs,
        tag: 'tag',
      },
      state.nowMs,
      state.nowMs,
    );
    beat();
  }
  function beat(): void {
    state.beat += 1;
    view.applyBeat(
      {
        shard: 32,
        epoch: EPOCH,
        term: 1,
        n: state.beat,
        time: START_MS + state.nowMs,
        heads: { tag: state.seq },
      },
      state.nowMs,
    );
  }
  function start(): void {
    hearFeed();
    view.applySnapshot([{ nonce: 'n', epoch: EPOCH, seq: state.seq, tag: 'tag', entries: [] }]);
    hearFeed();
  }
  function entry(partial: Pick<RevocationEntry, 'kind' | 'id'> & Partial<RevocationEntry>): void {
    state.seq += 1;
    const data: RevocationEntry = {
      epoch: EPOCH,
      seq: state.seq,
      verb: 'revoke',
      at: START_MS + state.nowMs,
      ends: nowSeconds() + 1_000,
      ...partial,
    };
    view.applyEvent({ subject: 'acme', data }, state.nowMs);
    beat();
  }

  const claims = (partial: Partial<Capability> = {}): Capability => ({
    issuer: ISSUER,
    audience: AUDIENCE,
    id: random(),
    issuedAt: nowSeconds(),
    notBefore: nowSeconds(),
    expiresAt: nowSeconds() + 300,
    subject: 'alice',
    actors: ['procurement-agent'],
    clientId: 'procurement-agent',
    tenant: 'acme',
    task: { id: `task_${random()}`, type: 'supplier-risk-summary' },
    scope: scope([
      { actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] },
      {
        actions: ['orders.create'],
        resources: ['erp/orders'],
        args: ['amount'],
        constraints: { amount: { max: 5000 } },
      },
      {
        actions: ['suppliers.rate'],
        resources: ['erp/suppliers/S-100'],
        args: [],
        check: 'online',
      },
    ]),
    lineage: [],
    depth: { used: 0, max: 2 },
    rev: { epoch: EPOCH, seq: state.seq },
    status: { idx: 1, uri: `${ISSUER}/status/1` },
    policy: { version: 'v1', decision: random() },
    confirmation: { jkt: holder.kid },
    links: false,
    ...partial,
  });
  const sign = (capability: Capability, key = issuerKey) =>
    key.sign({ typ: 'at+jwt' }, capabilityPayload(capability));
  const prove = (token: string, partial: Partial<Parameters<typeof createProof>[0]> = {}) =>
    createProof({
      signer: holder,
      method: 'GET',
      url: URL_CALLED,
      accessToken: token,
      nowSeconds: nowSeconds(),
      jti: random(),
      ...partial,
    });
  const present = (token: string, partial: Partial<Presented> = {}): Presented => ({
    authorization: `DPoP ${token}`,
    proof: prove(token),
    method: 'GET',
    url: URL_CALLED,
    ...partial,
  });

  /** The whole of a PEP but its bus: what a call leaves is in `records` and `strangers`. */
  const records: RecordInput[] = [];
  const strangers: { source: string; reason: string }[] = [];
  const recorder = {
    record: async (_tenant: string, input: RecordInput) => {
      await state.recording(input);
      records.push(input);
      return { id: input.id ?? '', home: 'bus' as const };
    },
    countStranger: (_tenant: string, stranger: { source: string; reason: string }) => {
      strangers.push(stranger);
    },
  };
  const metadata = resourceMetadata({
    audience: AUDIENCE,
    issuer: ISSUER,
    proofAlgorithms: PROOF_ALGORITHMS,
    acceptBearer,
  });
  const challenge = { algs: PROOF_ALGORITHMS, acceptBearer, metadataUrl: metadata?.url };
  const pep: Pep = {
    audience: AUDIENCE,
    metadata,
    ...createEnforcement(deps, recorder, challenge),
    ...createOffers(deps, recorder, challenge),
    health: () => ({
      fresh: true,
      bus: 'connected',
      rev: view.rev(),
      revocations: 0,
      refusedMessages: 0,
    }),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };

  return {
    deps,
    pep,
    records,
    strangers,
    state,
    published,
    issuerKey,
    holder,
    newSigner,
    start,
    hearFeed,
    beat,
    entry,
    claims,
    sign,
    prove,
    present,
  };
}

export const READ = { action: 'suppliers.read', resource: 'erp/suppliers/S-100', args: {} };
export const RATE = { action: 'suppliers.rate', resource: 'erp/suppliers/S-100', args: {} };

function importKey(signer: Signer) {
  return importVerifyKey(signer.publicJwk);
}
