import type { Rev, RevocationEntry, RevocationKind, TokenSubjects } from '@remit/contracts';
import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import { ensureHead } from './point.ts';
import type { Tables, Trx } from './tables.ts';

type Row = Pick<Tables['revocation'], 'seq' | 'verb' | 'kind' | 'id' | 'at' | 'ends'>;
const COLUMNS = ['seq', 'verb', 'kind', 'id', 'at', 'ends'] as const;

/** Rows of one page at most; its bytes are limited by whoever sends it. */
export const PAGE_ROWS = 2_000;

/** The entry as the feed carries it. `seq` goes on over epochs, so every row reads as of now. */
export function toEntry(row: Row, epoch: string): RevocationEntry {
  const { ends, ...rest } = row;
  return { epoch, ...rest, ...(ends === null ? {} : { ends }) };
}

export async function insertRevocation(trx: Trx, row: Tables['revocation']): Promise<void> {
  await trx.insertInto('revocation').values(row).execute();
}

/** The youngest revocation of one id, as far back as `since` (feed seconds). */
export function recentRevocation(
  trx: Trx,
  tenant: string,
  named: { kind: RevocationKind; id: string },
  since: number,
): Promise<Row | undefined> {
  return trx
    .selectFrom('revocation')
    .select(COLUMNS)
    .where('tenant', '=', tenant)
    .where('verb', '=', 'revoke')
    .where('kind', '=', named.kind)
    .where('id', '=', named.id)
    .where('at', '>=', since)
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** Entries after a sequence, in order, up to `upTo`. With `aliveAt`, only those that can still hit. */
export function entriesAfter(
  trx: Trx,
  tenant: string,
  range: { after: number; upTo: number; aliveAt?: number },
): Promise<Row[]> {
  return trx
    .selectFrom('revocation')
    .select(COLUMNS)
    .where('tenant', '=', tenant)
    .where('seq', '>', range.after)
    .where('seq', '<=', range.upTo)
    .$if(range.aliveAt !== undefined, (query) =>
      query.where((eb) => eb.or([eb('ends', 'is', null), eb('ends', '>=', range.aliveAt ?? 0)])),
    )
    .orderBy('seq')
    .limit(PAGE_ROWS)
    .execute();
}

/** When the entry with this sequence was made; undefined when there is none. */
export async function timeOfSeq(
  trx: Trx,
  tenant: string,
  seq: number,
): Promise<number | undefined> {
  const row = await trx
    .selectFrom('revocation')
    .select('at')
    .where('tenant', '=', tenant)
    .where('seq', '=', seq)
    .executeTakeFirst();
  return row?.at;
}

/** What could be revoked of what is about to be used. */
export type Named = {
  tokens: readonly TokenSubjects[];
  tasks: readonly string[];
  keys: readonly string[];
};

/** The first and the last revocation of an id. */
export type NamedRevocation = { kind: RevocationKind; id: string; first: number; last: number };

/** Every revocation that names any of it, whatever `rev` says. */
export async function revocationsNaming(
  trx: Trx,
  tenant: string,
  named: Named,
): Promise<NamedRevocation[]> {
  const { kinds, ids } = namesOf(tenant, named);
  const { rows } = await sql<NamedRevocation>`
    select r.kind, r.id, min(r.seq) as first, max(r.seq) as last
    from unnest(${kinds}::text[], ${ids}::text[]) as named (kind, id)
    join revocation r on r.tenant = ${tenant} and r.verb = 'revoke'
      and r.kind = named.kind and r.id = named.id
    group by r.kind, r.id order by first`.execute(trx);
  return rows;
}

/**
 * The committed head and then every revocation that names any of it, in one round trip. A
 * tenant without a head gets one first.
 */
export async function headAndNaming(
  database: Database<Tables>,
  tenant: string,
  named: Named,
): Promise<{ head: Rev; revocations: NamedRevocation[] }> {
  const { kinds, ids } = namesOf(tenant, named);
  const [head, revocations] = await database.atOnce(tenant, [
    { ...HEAD, values: [tenant] },
    { ...NAMING, values: [kinds, ids, tenant] },
  ]);
  const row = head?.rows[0] as Rev | undefined;
  if (row) return { head: row, revocations: (revocations?.rows ?? []) as NamedRevocation[] };
  await database.withTenant(tenant, (trx) => ensureHead(trx, tenant));
  return headAndNaming(database, tenant, named);
}

const HEAD = {
  name: 'head',
  text: `select e.id as epoch, h.seq from epoch e, head h where h.tenant = $1
    order by e.number desc limit 1`,
} as const;

const NAMING = {
  name: 'naming',
  text: `select r.kind, r.id, min(r.seq) as first, max(r.seq) as last
    from unnest($1::text[], $2::text[]) as named (kind, id)
    join revocation r on r.tenant = $3 and r.verb = 'revoke'
      and r.kind = named.kind and r.id = named.id
    group by r.kind, r.id order by first`,
} as const;

/** What could be revoked of it: kinds and ids side by side, each pair once. */
export function namesOf(
  tenant: string,
  { tokens, tasks, keys }: Named,
): { kinds: RevocationKind[]; ids: string[] } {
  const ids = tokens.flatMap(({ jti, lineage }) => [jti, ...lineage]);
  const wanted: [RevocationKind, string[]][] = [
    ['token', ids],
    ['link', ids],
    ['task', [...tokens.map(({ task }) => task), ...tasks]],
    ['key', [...tokens.flatMap((token) => token.keys), ...keys]],
    ['agent', tokens.flatMap(({ actors }) => actors)],
    ['user', tokens.map(({ user }) => user)],
    ['client', tokens.map(({ client }) => client)],
    ['tenant', [tenant]],
  ];
  const pairs = wanted.flatMap(([kind, list]) => [...new Set(list)].map((id) => ({ kind, id })));
  return { kinds: pairs.map(({ kind }) => kind), ids: pairs.map(({ id }) => id) };
}
