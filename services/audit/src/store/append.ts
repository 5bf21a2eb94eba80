import {
  appendLeaf,
  decodeEdge,
  type Edge,
  emptyEdge,
  encodeEdge,
  TILE_HEIGHT,
  type TreeNode,
} from '@remit/ledger';
import { sql, type Transaction } from 'kysely';
import type { Admitted, Refused } from '../ingest/admit.ts';
import { type Derived, derive } from './derive.ts';
import { countNumbers, reusedNumbers, type SeenNumber } from './numbers.ts';
import { keepConflict, keepRefused } from './quarantine.ts';
import type { AuditTables, DisclosuresTable } from './tables.ts';

type Trx = Transaction<AuditTables>;

/** What a batch did to one tenant's ledger. */
export type Appended = {
  readonly tenant: string;
  readonly records: readonly Admitted[];
  readonly duplicates: number;
  readonly conflicts: readonly Admitted[];
  /** Numbers that a producer gave to more than one record. */
  readonly reused: readonly SeenNumber[];
  readonly size: number;
};

/** A lock of its own number space, so that it can't meet another advisory lock by accident. */
const WRITER_LOCK = 0x72656d69;
/** Rows per statement. */
const ROWS = 1_000;

/**
 * Makes this transaction the only writer of a tenant's ledger until it ends, and lets it see that
 * tenant's rows. A transaction that enters several tenants does so in the order of their names.
 */
export async function enterTenant(trx: Trx, tenant: string): Promise<void> {
  await sql`select set_config('remit.tenant', ${tenant}, true)`.execute(trx);
  await sql`select pg_advisory_xact_lock(${WRITER_LOCK}, hashtext(${tenant}))`.execute(trx);
}

/**
 * Appends a tenant's part of a batch, in its order: the next sequences, bytes, leaf hashes, the tree
 * and the head, disclosures, numbers, and what is no record. A record that is there already leaves
 * everything as it is; the same id with other content is kept beside the first.
 */
export async function appendBatch(
  trx: Trx,
  tenant: string,
  admitted: readonly Admitted[],
  refused: readonly Refused[],
): Promise<Appended> {
  const { fresh, duplicates, conflicts } = await sift(trx, tenant, admitted);
  const edge = await writeRecords(trx, tenant, fresh);
  const first = edge.size - fresh.length + 1;
  const values = fresh.flatMap((each, index) => disclosureRows(each, first + index));
  await insertAll(values, (rows) => insertValues(trx, tenant, rows));
  for (const conflict of conflicts) await keepConflict(trx, conflict);
  for (const refusal of refused) await keepRefused(trx, tenant, refusal);
  const reused = await reusedNumbers(trx, tenant, fresh.map(numberOf));
  const numbers: SeenNumber[] = [
    ...admitted.map(numberOf),
    ...refused.flatMap(({ number }) => number ?? []),
  ];
  await countNumbers(trx, tenant, numbers);
  return { tenant, records: fresh, duplicates, conflicts, reused, size: edge.size };
}

/** Parts records into those that are new, known with the same bytes, and known with others. */
async function sift(
  trx: Trx,
  tenant: string,
  admitted: readonly Admitted[],
): Promise<{ fresh: Admitted[]; duplicates: number; conflicts: Admitted[] }> {
  const known = await knownHashes(trx, tenant, admitted);
  const fresh: Admitted[] = [];
  const conflicts: Admitted[] = [];
  let duplicates = 0;
  for (const entry of admitted) {
    const key = keyOf(entry.producer, entry.record.id);
    const hash = known.get(key);
    if (hash === undefined) {
      known.set(key, entry.leafHash);
      fresh.push(entry);
    } else if (hash.equals(entry.leafHash)) {
      duplicates++;
    } else {
      conflicts.push(entry);
    }
  }
  return { fresh, duplicates, conflicts };
}

async function knownHashes(
  trx: Trx,
  tenant: string,
  admitted: readonly Admitted[],
): Promise<Map<string, Buffer>> {
  if (admitted.length === 0) return new Map();
  const producers = admitted.map(({ producer }) => producer);
  const ids = admitted.map(({ record }) => record.id);
  const { rows } = await sql<{ producer: string; id: string; leaf_hash: Buffer }>`
    with k as (select * from unnest(${producers}::text[], ${ids}::text[]) as k(producer, id))
    select r.producer, r.id, r.leaf_hash from records r
    join k on r.producer = k.producer and r.id = k.id where r.tenant = ${tenant}
    union all
    select l.producer, l.id, l.leaf_hash from leaves l
    join k on l.producer = k.producer and l.id = k.id where l.tenant = ${tenant}`.execute(trx);
  return new Map(rows.map((row) => [keyOf(row.producer, row.id), row.leaf_hash]));
}

async function writeRecords(trx: Trx, tenant: string, fresh: readonly Admitted[]): Promise<Edge> {
  const head = await trx
    .selectFrom('heads')
    .select('edge')
    .where('tenant', '=', tenant)
    .forUpdate()
    .executeTakeFirst();
  let edge = head ? decodeEdge(head.edge) : emptyEdge;
  if (fresh.length === 0) return edge;
  const rows: RecordRow[] = [];
  const nodes: TreeNode[] = [];
  for (const { bytes, leafHash, record } of fresh) {
    edge = appendLeaf(edge, leafHash, (node) => {
      if (node.level > 0 && node.level % TILE_HEIGHT === 0) nodes.push(node);
    });
    rows.push({ seq: edge.size, bytes, leaf_hash: leafHash, ...derive(record) });
  }
  await insertAll(rows, (part) => insertRecords(trx, tenant, part));
  await insertAll(
    nodes.map(({ level, index, hash }) => ({ tenant, level, idx: index, hash: Buffer.from(hash) })),
    (part) => trx.insertInto('tree_nodes').values(part).execute(),
  );
  const next = { seq: edge.size, edge: Buffer.from(encodeEdge(edge)) };
  await trx
    .insertInto('heads')
    .values({ tenant, ...next })
    .onConflict((on) => on.column('tenant').doUpdateSet({ ...next, updated_at: sql`now()` }))
    .execute();
  return edge;
}

function numberOf({ producer, record }: Admitted): SeenNumber {
  return { producer, boot: record.producer.boot, n: record.producer.n };
}

function disclosureRows(
  { producer, record, disclosures }: Admitted,
  seq: number,
): Omit<DisclosuresTable, 'tenant'>[] {
  return disclosures.map((open) => ({ producer, record_id: record.id, seq, ...open }));
}

type RecordRow = Derived & { seq: number; bytes: Buffer; leaf_hash: Buffer };

/** One array for each column: PostgreSQL parses a statement of twenty parameters, not of thousands. */
async function insertRecords(trx: Trx, tenant: string, rows: readonly RecordRow[]): Promise<void> {
  const column = <K extends keyof RecordRow>(name: K) => rows.map((row) => row[name]);
  // An array of arrays would have to be rectangular: each goes as its own text.
  const agents = rows.map((row) => arrayText(row.agents));
  await sql`
    insert into records (tenant, seq, id, producer, bytes, leaf_hash, time, event, decision, reason,
      agents, client, task, action, resource, jti, decision_id, record)
    select ${tenant}, seq, id, producer, bytes, leaf_hash, time, event, decision, reason,
      agents::text[], client, task, action, resource, jti, decision_id, record
    from unnest(${column('seq')}::int8[], ${column('id')}::text[], ${column('producer')}::text[],
      ${column('bytes')}::bytea[], ${column('leaf_hash')}::bytea[], ${column('time')}::timestamptz[],
      ${column('event')}::text[], ${column('decision')}::text[], ${column('reason')}::text[],
      ${agents}::text[], ${column('client')}::text[], ${column('task')}::text[],
      ${column('action')}::text[], ${column('resource')}::text[], ${column('jti')}::text[],
      ${column('decision_id')}::text[], ${column('record')}::jsonb[])
      as row(seq, id, producer, bytes, leaf_hash, time, event, decision, reason, agents, client,
        task, action, resource, jti, decision_id, record)`.execute(trx);
}

async function insertValues(
  trx: Trx,
  tenant: string,
  rows: readonly Omit<DisclosuresTable, 'tenant'>[],
): Promise<void> {
  const column = <K extends keyof (typeof rows)[number]>(name: K) => rows.map((row) => row[name]);
  await sql`
    insert into disclosures (tenant, producer, record_id, pointer, salt, value, seq)
    select ${tenant}, producer, record_id, pointer, salt, value, seq
    from unnest(${column('producer')}::text[], ${column('record_id')}::text[],
      ${column('pointer')}::text[], ${column('salt')}::text[], ${column('value')}::text[],
      ${column('seq')}::int8[]) as row(producer, record_id, pointer, salt, value, seq)`.execute(
    trx,
  );
}

/** An array as PostgreSQL writes it. */
function arrayText(items: readonly string[]): string {
  const quoted = items.map((item) => `"${item.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);
  return `{${quoted.join(',')}}`;
}

async function insertAll<R>(
  rows: readonly R[],
  insert: (part: readonly R[]) => Promise<unknown>,
): Promise<void> {
  for (let i = 0; i < rows.length; i += ROWS) await insert(rows.slice(i, i + ROWS));
}

function keyOf(producer: string, id: string): string {
  return `${producer} ${id}`;
}
