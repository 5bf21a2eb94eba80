import { emptyEdge } from '@remit/ledger';
import { createDatabase, createLogger, type Database } from '@remit/service-kit';
import { type TestInfra, type TestServers, testInfra } from '@remit/testkit';
import pg from 'pg';
import type { AuditTables } from '../store/tables.ts';
import {
  copyInto,
  fillTenant,
  headLine,
  NODE_COLUMNS,
  RECORD_COLUMNS,
  VALUE_COLUMNS,
} from './fill.ts';

const TENANT = 'acme';
const PART = 5_000;
const START_MS = Date.parse('2026-01-01T00:00:00Z');

/** A tenant's ledger of many records, filled by COPY, as the service's own role sees it. */
export type LargeLedger = AsyncDisposable & {
  readonly infra: TestInfra;
  readonly database: Database<AuditTables>;
  readonly owner: pg.Client;
  readonly size: number;
  /** The instant of a sequence. */
  timeOf(seq: number): string;
};

/** Fills a ledger. `onProgress` is told of the records so far. */
export async function largeLedger(
  size: number,
  options: { servers?: TestServers; onProgress?: (records: number) => void } = {},
): Promise<LargeLedger> {
  const cleanup = new AsyncDisposableStack();
  const { servers, onProgress } = options;
  const infra = cleanup.use(
    await testInfra({ services: ['audit'], nats: false, ...(servers ? { servers } : {}) }),
  );
  const owner = new pg.Client({ connectionString: infra.ownerUrl('audit') });
  await owner.connect();
  cleanup.defer(() => owner.end());
  // COPY knows no row-level security; the owner is held by it until it turns it off.
  const tables = ['records', 'disclosures', 'tree_nodes', 'heads'];
  for (const table of tables) await owner.query(`alter table ${table} no force row level security`);
  const filling = fillTenant(TENANT, emptyEdge, START_MS);
  for (let done = 0; done < size; done += PART) {
    const { records, disclosures } = filling.lines(Math.min(PART, size - done));
    await copyInto(owner, `records (${RECORD_COLUMNS})`, records);
    await copyInto(owner, `disclosures (${VALUE_COLUMNS})`, disclosures);
    onProgress?.(done + PART);
  }
  await copyInto(owner, `tree_nodes (${NODE_COLUMNS})`, filling.nodes());
  await copyInto(owner, 'heads (tenant, seq, edge)', headLine(TENANT, filling.edge()));
  for (const table of tables) await owner.query(`alter table ${table} force row level security`);
  await owner.query('analyze');
  const log = createLogger({ service: 'audit', instance: 'large', level: 'fatal' });
  const url = infra.databaseUrl('audit');
  const database = await createDatabase<AuditTables>({ url, schema: 'audit', log, insecure: true });
  cleanup.defer(() => database.close());
  return {
    infra,
    database,
    owner,
    size,
    timeOf: (seq) => new Date(START_MS + seq * 20).toISOString(),
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}
