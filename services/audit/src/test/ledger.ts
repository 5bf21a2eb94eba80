import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { createSigner } from '@remit/bus';
import {
  createDatabase,
  createLogger,
  createMetrics,
  type Database,
  type Metrics,
} from '@remit/service-kit';
import { type FixedClock, fixedClock, type TestInfra, testInfra } from '@remit/testkit';
import pg from 'pg';
import { type Checkpointer, createCheckpointer } from '../checkpoint/checkpointer.ts';
import { type CheckpointKeys, readCheckpointKeys } from '../checkpoint/keys.ts';
import { type OutsideStore, openOutsideStore } from '../checkpoint/outside.ts';
import type { RawMessage } from '../ingest/admit.ts';
import { createIngest, type Touched } from '../ingest/ingest.ts';
import type { Appended } from '../store/append.ts';
import type { AuditTables } from '../store/tables.ts';
import { verifyTenant } from '../store/verify.ts';

/** The ledger on a real PostgreSQL without the bus: what a batch does to it, and what is found. */
export type TestLedger = AsyncDisposable & {
  infra: TestInfra;
  database: Database<AuditTables>;
  ingest: (messages: readonly RawMessage[]) => Promise<void>;
  commits: { appended: readonly Appended[]; touched: readonly Touched[] }[];
  checkpointer: Checkpointer;
  outside: OutsideStore;
  outsideDir: string;
  keys: CheckpointKeys;
  clock: FixedClock;
  metrics: Metrics;
  /** Lines of the log that are errors: the alarms. */
  alarms: Record<string, unknown>[];
  published: { subject: string; bytes: Uint8Array | string }[];
  verify(tenant?: string): ReturnType<typeof verifyTenant>;
  /** SQL as the owner of the schema with row-level security off: whoever has the database. */
  behindItsBack(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
};

export async function testLedger(): Promise<TestLedger> {
  const infra = await testInfra({ services: ['audit'], nats: false });
  const cleanup = new AsyncDisposableStack();
  cleanup.defer(() => infra[Symbol.asyncDispose]());
  const alarms: Record<string, unknown>[] = [];
  const destination = {
    write: (line: string) => {
      const entry = JSON.parse(line) as Record<string, unknown>;
      if (entry['level'] === 'error') alarms.push(entry);
    },
  };
  const log = createLogger({ service: 'audit', instance: 't', level: 'info', destination });
  const database = await createDatabase<AuditTables>({
    url: infra.databaseUrl('audit'),
    schema: 'audit',
    log,
    insecure: true,
  });
  cleanup.defer(() => database.close());
  const owner = new pg.Client({ connectionString: infra.ownerUrl('audit') });
  await owner.connect();
  cleanup.defer(() => owner.end());
  const clock = fixedClock();
  const metrics = createMetrics({ service: 'audit', version: 'test' });
  cleanup.defer(() => metrics.stop());
  const keys = readCheckpointKeys(infra.keys.signerFile('audit-checkpoint'), infra.trust(), clock);
  const outsideDir = mkdtempSync(join(infra.tmpDir, 'outside-'));
  const outside = await openOutsideStore(outsideDir);
  const published: TestLedger['published'] = [];
  const checkpointer = createCheckpointer({
    database,
    bus: {
      publish: (subject: string, bytes: string) => published.push({ subject, bytes }),
    } as never,
    busSigner: createSigner(infra.signer('audit-bus')),
    keys,
    outside,
    clock,
    log,
    metrics,
    everyRecords: 1_000_000,
    everySeconds: 3_600,
  });
  const commits: TestLedger['commits'] = [];
  const ingest = createIngest({
    database,
    log,
    metrics,
    onCommitted: (appended, touched) => void commits.push({ appended, touched }),
  });
  return {
    infra,
    database,
    ingest,
    commits,
    checkpointer,
    outside,
    outsideDir,
    keys,
    clock,
    metrics,
    alarms,
    published,
    async verify(tenant = 'acme') {
      const kept = await outside.read(tenant);
      return database.withTenant(
        tenant,
        (trx) =>
          verifyTenant(trx, tenant, {
            origin: keys.origin(tenant),
            verifiers: keys.verifiers(tenant),
            outside: kept,
          }),
        { isolation: 'repeatable read', readOnly: true },
      );
    },
    async behindItsBack(text, values = []) {
      // The owner is held by FORCE ROW LEVEL SECURITY like everybody else, until it turns it off.
      const tables = [
        'records',
        'disclosures',
        'heads',
        'tree_nodes',
        'checkpoints',
        'numbers',
        'quarantine',
        'conflicts',
        'leaves',
        'retentions',
        'holds',
      ];
      for (const table of tables)
        await owner.query(`alter table ${table} no force row level security`);
      const { rows } = await owner.query(text, values);
      for (const table of tables)
        await owner.query(`alter table ${table} force row level security`);
      return rows as Record<string, unknown>[];
    },
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}
