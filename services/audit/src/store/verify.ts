import { type AuditRecord, commit, commitmentsOf } from '@remit/contracts';
import {
  type Fault,
  type LedgerReport,
  type LedgerRow,
  type NoteVerifier,
  retainedTo,
  sameHash,
  TILE_HEIGHT,
  verifyLedger,
} from '@remit/ledger';
import { sql, type Transaction } from 'kysely';
import { allCheckpoints } from './checkpoints.ts';
import { derive } from './derive.ts';
import { readRecord } from './read.ts';
import type { AuditTables } from './tables.ts';
import { readEdge } from './tree.ts';

type Trx = Transaction<AuditTables>;

/** Records read at once. */
const PAGE = 500;
/** Values looked up at once. */
const VALUES_PAGE = 5_000;

/**
 * Recomputes a tenant's ledger in one snapshot: every record against its bytes, its columns and its
 * disclosed values, the stored tree against the recomputed one, and all of it against the
 * checkpoints of both places. `outside` is read before the snapshot is taken, so that a checkpoint
 * made meanwhile is not mistaken for lost records.
 */
export async function verifyTenant(
  trx: Trx,
  tenant: string,
  options: {
    origin: string;
    verifiers: readonly NoteVerifier[];
    outside: readonly string[];
  },
): Promise<LedgerReport> {
  const wrong = new Map<number, string>();
  const nodes = new Map<string, Uint8Array>();
  let droppedUpTo = 0;
  /** The first record whose values stand beside another sequence. */
  let mislaid: number | undefined;
  const inside = await allCheckpoints(trx, tenant);
  const report = await verifyLedger({
    records: readAll(
      trx,
      tenant,
      wrong,
      (record) => {
        droppedUpTo = Math.max(droppedUpTo, retainedTo(record));
      },
      (seq) => {
        mislaid ??= seq;
      },
    ),
    droppedUpTo: () => droppedUpTo,
    checkpoints: [
      ...inside.map((note) => ({ note, where: 'inside' as const })),
      ...options.outside.map((note) => ({ note, where: 'outside' as const })),
    ],
    origin: options.origin,
    verifiers: options.verifiers,
    edge: await readEdge(trx, tenant),
    inspect: ({ seq }) => wrong.get(seq),
    onNode({ level, index, hash }) {
      if (level > 0 && level % TILE_HEIGHT === 0) nodes.set(`${level}/${index}`, hash);
    },
  });
  // Where records are missing or changed the tree differs anyhow: the first fault says why.
  if (!report.ok) return report;
  const faults = [
    ...(mislaid === undefined ? [] : [mislaidValues(mislaid)]),
    ...(await wrongNodes(trx, tenant, nodes)),
    ...(await strayValues(trx, tenant)),
  ];
  return faults.length === 0 ? report : { ...report, ok: false, faults };
}

/** Every record in the order of its sequence; what is wrong with one is noted in `wrong`. */
async function* readAll(
  trx: Trx,
  tenant: string,
  wrong: Map<number, string>,
  onRecord: (record: AuditRecord) => void,
  onMislaid: (seq: number) => void,
): AsyncGenerator<LedgerRow> {
  let after: number | undefined;
  const dropped = leavesFrom(trx, tenant);
  let leaf = (await dropped.next()).value;
  for (;;) {
    let select = trx.selectFrom('records').selectAll().where('tenant', '=', tenant);
    if (after !== undefined) select = select.where('seq', '>', after);
    const rows = await select.orderBy('seq').limit(PAGE).execute();
    const [first] = rows;
    const last = rows.at(-1);
    if (first === undefined || last === undefined) break;
    const values = await valuesBetween(trx, tenant, first.seq, last.seq);
    for (const [seq, of] of values) {
      if (of.some(({ seqBeside }) => seqBeside !== seq)) onMislaid(seq);
    }
    for (const row of rows) {
      for (; leaf && leaf.seq <= row.seq; leaf = (await dropped.next()).value) yield leaf;
      const fault = inspect(row, tenant, values.get(row.seq) ?? [], onRecord);
      if (fault !== undefined) wrong.set(row.seq, fault);
      yield { seq: row.seq, bytes: row.bytes, leafHash: row.leaf_hash };
      wrong.delete(row.seq);
    }
    after = last.seq;
  }
  for (; leaf; leaf = (await dropped.next()).value) yield leaf;
}

/** What retention left, in the order of its sequence. */
async function* leavesFrom(trx: Trx, tenant: string): AsyncGenerator<LedgerRow, undefined> {
  for (let after = 0; ; ) {
    const rows = await trx
      .selectFrom('leaves')
      .select(['seq', 'leaf_hash'])
      .where('tenant', '=', tenant)
      .where('seq', '>', after)
      .orderBy('seq')
      .limit(PAGE)
      .execute();
    const last = rows.at(-1);
    if (last === undefined) return undefined;
    for (const row of rows) yield { seq: row.seq, bytes: undefined, leafHash: row.leaf_hash };
    after = last.seq;
  }
}

type Value = {
  pointer: string;
  salt: string;
  value: string | null;
  seqBeside: number | null;
};
type StoredRow = {
  bytes: Buffer;
  time: Date;
  record: unknown;
  [column: string]: unknown;
};

function inspect(
  row: StoredRow,
  tenant: string,
  values: readonly Value[],
  onRecord: (record: AuditRecord) => void,
): string | undefined {
  let record: ReturnType<typeof readRecord>;
  try {
    record = readRecord(row.bytes);
  } catch {
    return 'the bytes are no record';
  }
  if (record.tenant !== tenant) return 'the record is of another tenant';
  onRecord(record);
  const { time, record: json, ...columns } = derive(record);
  const text = Object.entries(columns);
  const lies =
    text.some(([name, value]) => JSON.stringify(row[name]) !== JSON.stringify(value)) ||
    row.time.getTime() !== Date.parse(time) ||
    !sameJson(row.record, JSON.parse(json));
  if (lies) return 'a column that queries use is not derived from the bytes';
  const targets = commitmentsOf(record);
  const opens = values.every(({ pointer, salt, value }) => {
    const target = targets.get(pointer);
    if (target === undefined) return false;
    return value === null || commit(salt, JSON.parse(value)).c === target.c;
  });
  return opens ? undefined : 'a disclosed value does not open its commitment';
}

/** Queries by user don't find such a record, though nothing of it was changed. */
function mislaidValues(seq: number): Fault {
  const detail = 'a disclosed value stands beside another sequence';
  return { seq, upTo: seq, kind: 'edit', detail };
}

/** PostgreSQL keeps the members of an object in an order of its own. */
function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const left = Object.entries(a);
  const right = new Map(Object.entries(b));
  return (
    Array.isArray(a) === Array.isArray(b) &&
    left.length === right.size &&
    left.every(([name, value]) => right.has(name) && sameJson(value, right.get(name)))
  );
}

async function valuesBetween(
  trx: Trx,
  tenant: string,
  from: number,
  to: number,
): Promise<Map<number, Value[]>> {
  const rows = await trx
    .selectFrom('records as r')
    .innerJoin('disclosures as d', (join) =>
      join
        .onRef('d.tenant', '=', 'r.tenant')
        .onRef('d.producer', '=', 'r.producer')
        .onRef('d.record_id', '=', 'r.id'),
    )
    .select(['r.seq', 'd.seq as seqBeside', 'd.pointer', 'd.salt', 'd.value'])
    .where('r.tenant', '=', tenant)
    .where('r.seq', '>=', from)
    .where('r.seq', '<=', to)
    .execute();
  return Map.groupBy(rows, ({ seq }) => seq);
}

/** Stored subtrees that are not those of the recomputed tree: proofs would be wrong. */
async function wrongNodes(
  trx: Trx,
  tenant: string,
  nodes: ReadonlyMap<string, Uint8Array>,
): Promise<Fault[]> {
  const rows = await trx
    .selectFrom('tree_nodes')
    .select(['level', 'idx', 'hash'])
    .where('tenant', '=', tenant)
    .execute();
  const stored = new Map(rows.map(({ level, idx, hash }) => [`${level}/${idx}`, hash]));
  const differing = [...new Set([...stored.keys(), ...nodes.keys()])].filter((key) => {
    const [mine, theirs] = [nodes.get(key), stored.get(key)];
    return mine === undefined || theirs === undefined || !sameHash(mine, theirs);
  });
  return differing.map((key) => {
    const [level = 0, index = 0] = key.split('/').map(Number);
    const leaves = 2 ** level;
    const detail = 'a stored subtree is not the one of the records';
    return { seq: index * leaves + 1, upTo: (index + 1) * leaves, kind: 'edit', detail };
  });
}

/**
 * Values of records that there are not: somebody put them there, or took the records away. In parts,
 * since one statement over all of them would run into its time limit.
 */
async function strayValues(trx: Trx, tenant: string): Promise<Fault[]> {
  let last: { producer: string; record_id: string; pointer: string } | undefined;
  for (;;) {
    const after = last
      ? sql`and (producer, record_id, pointer) > (${last.producer}, ${last.record_id}, ${last.pointer})`
      : sql``;
    const { rows } = await sql<NonNullable<typeof last> & { known: boolean }>`
      with part as materialized (
        select producer, record_id, pointer from disclosures
        where tenant = ${tenant} ${after}
        order by producer, record_id, pointer limit ${VALUES_PAGE}
      )
      select producer, record_id, pointer, exists (
        select from records r
        where r.tenant = ${tenant} and r.producer = part.producer and r.id = part.record_id
      ) as known
      from part order by producer, record_id, pointer`.execute(trx);
    if (rows.some(({ known }) => !known)) {
      const detail = 'a disclosed value belongs to no record';
      return [{ seq: 0, upTo: 0, kind: 'insert', detail }];
    }
    last = rows.at(-1);
    if (rows.length < VALUES_PAGE || last === undefined) return [];
  }
}
