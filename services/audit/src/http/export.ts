import { Readable } from 'node:stream';
import { closed, oneOf } from '@remit/contracts';
import { type ExportLine, formatExportLine, LEAVES_PER_LINE, openCheckpoint } from '@remit/ledger';
import { type Database, tenantParam, wireError } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import type { AnchorKeeper } from '../anchor/keeper.ts';
import type { Checkpointer } from '../checkpoint/checkpointer.ts';
import type { CheckpointKeys } from '../checkpoint/keys.ts';
import { newestCheckpoints } from '../store/checkpoints.ts';
import { nextPart, nextSelected, provenPage } from '../store/export.ts';
import type { StoredRecord } from '../store/read.ts';
import type { AuditTables } from '../store/tables.ts';
import { csvRow } from './csv.ts';
import type { Guard } from './guard.ts';
import { presentRecord } from './present.ts';
import { checkedFilters, filterFacts, recordFilters } from './records.ts';

const query = closed({ format: Type.Optional(oneOf('csv', 'ndjson')), ...recordFilters });
type Query = Static<typeof query>;

const PAGE = 200;
/** Older checkpoints in an export: they tell more closely where a fault lies. */
const CHECKPOINTS = 256;

const CSV_COLUMNS = [
  'seq',
  'time',
  'event',
  'decision',
  'reason',
  'user',
  'agents',
  'action',
  'resource',
  'task',
  'task_type',
  'token',
  'policy_version',
  'producer',
  'id',
  'leaf_hash',
];

export type ExportRouteOptions = {
  database: Database<AuditTables>;
  guard: Guard;
  keys: CheckpointKeys;
  checkpointer: Checkpointer;
  anchors: Pick<AnchorKeeper, 'anchor'>;
};

/**
 * `GET /t/:tenant/export`: as NDJSON with everything that `remit verify` needs, or as CSV for people.
 * Without filters the whole ledger, else the records that match, each with its proof. Streams: reads a
 * page when the one before is on its way. Only for auditors; each export leaves a record.
 */
export function exportRoute(http: FastifyInstance, options: ExportRouteOptions): void {
  const { database, guard, keys, checkpointer, anchors } = options;

  http.get<{ Querystring: Query }>(
    '/t/:tenant/export',
    { schema: { params: closed({ tenant: tenantParam }), querystring: query } },
    async (request, reply) => {
      const { format = 'ndjson', ...given } = request.query;
      const filters = checkedFilters(given);
      const tenant = await guard.enter(request, { format, ...filterFacts(filters) });
      // What fails here is an alarm already; what was signed before is exported all the same.
      await checkpointer.run(tenant).catch(() => undefined);
      await anchors.anchor(tenant).catch(() => undefined);
      const notes = await database.withTenant(
        tenant,
        (trx) => newestCheckpoints(trx, tenant, CHECKPOINTS),
        { readOnly: true },
      );
      const [newest] = notes;
      if (newest === undefined) throw wireError('NOT_FOUND');
      const expected = { origin: keys.origin(tenant), verifiers: keys.verifiers(tenant) };
      const { origin, size } = openCheckpoint(newest, expected);
      const source = { database, tenant, origin, size, notes, filters };
      const lines =
        format === 'csv'
          ? csvLines(source)
          : Object.keys(filters).length === 0
            ? wholeLines(source)
            : selectedLines(source);
      return reply
        .header(
          'content-type',
          format === 'csv' ? 'text/csv; charset=utf-8' : 'application/x-ndjson',
        )
        .header('content-disposition', `attachment; filename="${tenant}-${size}.${format}"`)
        .header('cache-control', 'no-store')
        .send(Readable.from(lines, { objectMode: false, encoding: 'utf8' }));
    },
  );
}

type Source = {
  database: Database<AuditTables>;
  tenant: string;
  origin: string;
  size: number;
  notes: readonly string[];
  filters: ReturnType<typeof checkedFilters>;
};

async function* wholeLines(source: Source): AsyncGenerator<string> {
  const { database, tenant, size } = source;
  yield* headLines(source, 'whole', source.notes);
  let records = 0;
  let leaves = 0;
  let run: { from: number; hashes: string[] } | undefined;
  const flush = function* (): Generator<string> {
    if (run) yield formatExportLine({ leaves: run });
    run = undefined;
  };
  for (let after = 0; after < size; ) {
    const part = await database.withTenant(
      tenant,
      (trx) => nextPart(trx, tenant, after, size, PAGE),
      { readOnly: true },
    );
    const last = part.at(-1);
    if (last === undefined) break;
    for (const one of part) {
      const leaf = one.leaf.toString('base64');
      if (!('bytes' in one)) {
        leaves++;
        if (
          run &&
          (run.from + run.hashes.length !== one.seq || run.hashes.length === LEAVES_PER_LINE)
        )
          yield* flush();
        run ??= { from: one.seq, hashes: [] };
        run.hashes.push(leaf);
        continue;
      }
      yield* flush();
      records++;
      const { seq, bytes, values } = one;
      yield formatExportLine({ record: { seq, bytes: bytes.toString('utf8'), leaf, values } });
    }
    after = last.seq;
  }
  yield* flush();
  yield formatExportLine({ end: { records, leaves } });
}

async function* selectedLines(source: Source): AsyncGenerator<string> {
  const { database, tenant, size } = source;
  yield* headLines(source, 'selection', source.notes.slice(0, 1));
  let records = 0;
  for await (const page of selected(source)) {
    const proven = await database.withTenant(tenant, (trx) => provenPage(trx, tenant, page, size), {
      readOnly: true,
    });
    records += proven.length;
    for (const record of proven) yield formatExportLine({ record });
  }
  yield formatExportLine({ end: { records, leaves: 0 } });
}

async function* csvLines(source: Source): AsyncGenerator<string> {
  yield csvRow(CSV_COLUMNS);
  for await (const page of selected(source)) {
    for (const stored of page) yield csvOf(stored);
  }
}

function csvOf(stored: StoredRecord): string {
  const view = presentRecord(stored);
  const { record } = stored;
  return csvRow([
    view.seq,
    view.time,
    view.event,
    view.decision,
    view.reason,
    view.user,
    view.agents.join(' > '),
    view.action,
    view.resource,
    record?.task?.id ?? null,
    record?.task?.type ?? null,
    record?.token?.jti ?? null,
    record?.policy_version ?? null,
    view.producer,
    view.id,
    view.leaf_hash,
  ]);
}

/** The records that match, page by page. */
async function* selected(source: Source): AsyncGenerator<StoredRecord[]> {
  const { database, tenant, size, filters } = source;
  for (let after = 0; ; ) {
    const range = { after, upTo: size, limit: PAGE };
    const part = await database.withTenant(
      tenant,
      (trx) => nextSelected(trx, tenant, filters, range),
      { readOnly: true },
    );
    const last = part.at(-1);
    if (last === undefined) return;
    yield part;
    after = last.seq;
  }
}

function* headLines(
  { tenant, origin, size }: Source,
  mode: 'selection' | 'whole',
  notes: readonly string[],
): Generator<string> {
  const lines: ExportLine[] = [
    { kind: 'remit-ledger-export', v: 1, mode, tenant, origin, size },
    ...notes.map((checkpoint) => ({ checkpoint })),
  ];
  for (const line of lines) yield formatExportLine(line);
}
