import type { Bus, Signer } from '@remit/bus';
import { type CheckpointMessage, SIGNED, subjects } from '@remit/contracts';
import {
  type Edge,
  edgeRoot,
  type HashReader,
  LedgerError,
  openCheckpoint,
  rootAt,
  sameHash,
  signCheckpoint,
} from '@remit/ledger';
import type { Clock, Database, Logger, Metrics } from '@remit/service-kit';
import type { Transaction } from 'kysely';
import { behind, forked } from '../anchor/anchor.ts';
import { AuditError } from '../error.ts';
import { enterTenant } from '../store/append.ts';
import { newestCheckpoint, storeCheckpoint, tenantsWithRecords } from '../store/checkpoints.ts';
import type { AuditTables } from '../store/tables.ts';
import { hashReader, readEdge } from '../store/tree.ts';
import type { CheckpointKeys } from './keys.ts';
import type { OutsideStore } from './outside.ts';

export type Checkpointer = {
  /** Told of every commit; signs at once when enough records came since the last checkpoint. */
  committed(tenant: string, size: number): void;
  /** Covers a tenant's records with a checkpoint, unless one does. */
  run(tenant: string): Promise<void>;
  /**
   * Compares a ledger with what is kept outside, and signs nothing. Throws AuditError
   * `CHECKPOINT_BEHIND`, `CHECKPOINT_FORK`.
   */
  compare(tenant: string): Promise<void>;
  /** Signs nothing more of a tenant: somebody outside knows another history. */
  halt(tenant: string, error: Error): void;
  /** The same for every tenant. */
  runAll(): Promise<void>;
  start(): void;
  stop(): Promise<void>;
};

export type CheckpointerOptions = {
  database: Database<AuditTables>;
  bus: Bus;
  busSigner: Signer;
  keys: CheckpointKeys;
  outside: OutsideStore;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Records after which a checkpoint is signed at once. */
  everyRecords: number;
  /** Seconds between looks. */
  everySeconds: number;
  /** Told of every new checkpoint. */
  onSigned?: (tenant: string) => void;
};

/** Milliseconds between checkpoints of a tenant that are signed for the number of its records. */
const MIN_PAUSE_MS = 1_000;

/**
 * Signs the heads of the ledgers. Before it signs, it compares the tree with the newest checkpoint
 * that is kept outside: a log never signs what contradicts what it signed before, so a rewritten or
 * restored ledger gets no further signature and is an alarm. C2SP tlog-checkpoint v1, "Signatures".
 */
export function createCheckpointer(options: CheckpointerOptions): Checkpointer {
  const { database, keys, outside, clock, log, metrics, everyRecords, everySeconds } = options;
  const signed = metrics.counter('remit_audit_checkpoints_total', 'Checkpoints signed.');
  const refused = metrics.counter(
    'remit_audit_checkpoints_refused_total',
    'Checkpoints not signed because the ledger contradicts an earlier one, by reason.',
  );
  const covered = new Map<string, number>();
  /** When the last checkpoint of a tenant was begun for the number of its records. */
  const begun = new Map<string, number>();
  let queue: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  const halted = new Map<string, Error>();

  async function sign(tenant: string): Promise<void> {
    const why = halted.get(tenant);
    if (why) throw why;
    const note = await database.withTenant(tenant, async (trx) => {
      // The writer's lock: no record is appended, and no other replica signs, meanwhile.
      await enterTenant(trx, tenant);
      const edge = await readEdge(trx, tenant);
      const last = await newestCheckpoint(trx, tenant);
      const kept = await outside.newest(tenant);
      if (edge.size === 0 && kept === undefined) return undefined;
      await assertConsistent(trx, tenant, edge, kept);
      covered.set(tenant, edge.size);
      const missing = kept === undefined || sizeOf(tenant, kept) < edge.size;
      if (!missing && last?.size === edge.size) return undefined;
      const checkpoint = { origin: keys.origin(tenant), size: edge.size, root: edgeRoot(edge) };
      const fresh = signCheckpoint(checkpoint, keys.signers(tenant));
      if (missing) await outside.append(tenant, fresh, clock.now());
      await storeCheckpoint(trx, tenant, edge.size, fresh);
      return fresh;
    });
    if (note === undefined) return;
    signed.add();
    announce(tenant, note);
    options.onSigned?.(tenant);
  }

  function sizeOf(tenant: string, note: string): number {
    return opened(tenant, note).size;
  }

  function opened(tenant: string, note: string) {
    return openCheckpoint(note, {
      origin: keys.origin(tenant),
      verifiers: keys.verifiers(tenant),
    });
  }

  async function assertConsistent(
    trx: Transaction<AuditTables>,
    tenant: string,
    edge: Edge,
    kept: string | undefined,
  ): Promise<void> {
    const read = hashReader(trx, tenant);
    await assertRoot(read, edge.size, edgeRoot(edge), 'the stored edge');
    if (kept === undefined) return;
    const { size, root } = opened(tenant, kept);
    if (size > edge.size) {
      throw behind('the checkpoint folder', { tenant, size: edge.size }, size);
    }
    if (sameHash(await rootAt(read, size), root)) return;
    throw forked('the checkpoint folder', { tenant }, size);
  }

  function announce(tenant: string, note: string): void {
    const message: CheckpointMessage = { tenant, time: clock.now(), note };
    const jws = options.busSigner.sign(SIGNED.checkpoint, JSON.stringify(message));
    try {
      options.bus.publish(subjects.checkpoint(tenant), jws);
    } catch (error) {
      log.warn({ err: error, tenant }, 'a checkpoint could not be published');
    }
  }

  /** One at a time in this process; a failure is an alarm and does not stop the others. */
  function run(tenant: string): Promise<void> {
    const work = queue.then(() => sign(tenant));
    queue = work.catch((error: unknown) => {
      covered.delete(tenant);
      const code = error instanceof AuditError || error instanceof LedgerError ? error.code : '';
      if (code === '') {
        log.warn({ err: error, tenant }, 'a checkpoint could not be made now');
        return;
      }
      refused.add({ reason: code });
      log.error({ err: error, tenant, alarm: 'ledger' }, 'the ledger contradicts its checkpoints');
    });
    return work;
  }

  async function runAll(): Promise<void> {
    const heads = await database.withSystem(tenantsWithRecords, { readOnly: true });
    const due = heads.filter(({ tenant, size }) => covered.get(tenant) !== size);
    for (const { tenant } of due) await run(tenant).catch(() => {});
  }

  async function loop(): Promise<void> {
    await runAll().catch((error: unknown) => {
      log.warn({ err: error }, 'checkpoints could not be made now');
    });
  }

  return {
    async compare(tenant) {
      const kept = await outside.newest(tenant);
      await database.withTenant(
        tenant,
        async (trx) => assertConsistent(trx, tenant, await readEdge(trx, tenant), kept),
        { isolation: 'repeatable read', readOnly: true },
      );
    },
    halt: (tenant, error) => void halted.set(tenant, error),
    committed(tenant, size) {
      const since = size - (covered.get(tenant) ?? 0);
      // Counted as covered at once, so that the next batch does not ask again.
      // It holds the writer's lock: where records come fast, each checkpoint covers a second of them.
      const nowMs = performance.now();
      if (since < everyRecords || nowMs - (begun.get(tenant) ?? -Infinity) < MIN_PAUSE_MS) return;
      begun.set(tenant, nowMs);
      covered.set(tenant, size);
      run(tenant).catch(() => {});
    },
    run,
    runAll,
    start() {
      timer = setInterval(() => void loop(), everySeconds * 1_000);
    },
    async stop() {
      clearInterval(timer);
      await runAll().catch(() => {});
      await queue;
    },
  };
}

async function assertRoot(
  read: HashReader,
  size: number,
  root: Uint8Array,
  what: string,
): Promise<void> {
  if (sameHash(await rootAt(read, size), root)) return;
  throw new AuditError('CHECKPOINT_FORK', `the records do not have the root of ${what}`, { size });
}
