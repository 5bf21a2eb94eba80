import { type Kysely, sql, type Transaction } from 'kysely';
import type { AuditTables } from './tables.ts';

/** A number that a producer gave a record, which is kept now. */
export type SeenNumber = { readonly producer: string; readonly boot: string; readonly n: number };

/** Of one producer and boot, everything up to `n` is committed. */
export type ContiguousNumber = { readonly boot: string; readonly n: number };

/** Numbers that are missing below a committed one. */
export type NumberGap = {
  readonly tenant: string;
  readonly producer: string;
  readonly boot: string;
  readonly from: number;
  readonly to: number;
};

/** Boots of one mark message, at most. */
const MAX_BOOTS = 64;

/** Of these numbers of new records, those that an earlier record has already, or two of them have. */
export async function reusedNumbers(
  trx: Transaction<AuditTables>,
  tenant: string,
  numbers: readonly SeenNumber[],
): Promise<SeenNumber[]> {
  if (numbers.length === 0) return [];
  const { rows } = await sql<SeenNumber>`
    select given.producer, given.boot, given.n
    from (
      select producer, boot, n, count(*) as times
      from unnest(${numbers.map(({ producer }) => producer)}::text[],
        ${numbers.map(({ boot }) => boot)}::text[], ${numbers.map(({ n }) => n)}::int8[])
        as one(producer, boot, n)
      group by producer, boot, n
    ) as given
    left join numbers as old
      on old.tenant = ${tenant} and old.producer = given.producer and old.boot = given.boot
    where given.times > 1 or old.seen @> given.n
    order by given.producer, given.boot, given.n`.execute(trx);
  return rows;
}

/** Adds numbers to what is seen of their producers and boots. */
export async function countNumbers(
  trx: Transaction<AuditTables>,
  tenant: string,
  numbers: readonly SeenNumber[],
): Promise<void> {
  if (numbers.length === 0) return;
  const column = <K extends keyof SeenNumber>(name: K) => numbers.map((each) => each[name]);
  await sql`
    insert into numbers as old (tenant, producer, boot, seen, gap_since)
    select tenant, producer, boot, seen, ${gapSince(sql`seen`, sql`now()`)} from (
      select ${tenant}::text as tenant, producer, boot, range_agg(int8range(n, n + 1)) as seen
      from unnest(${column('producer')}::text[], ${column('boot')}::text[], ${column('n')}::int8[])
        as given(producer, boot, n)
      group by producer, boot
      order by producer, boot
    ) as fresh
    on conflict (tenant, producer, boot) do update set
      seen = old.seen + excluded.seen,
      gap_since = ${gapSince(sql`old.seen + excluded.seen`, sql`coalesce(old.gap_since, now())`)}
  `.execute(trx);
}

/** Numbers count from 1 without gaps, so what is seen is one range from 1 on. */
function gapSince(seen: ReturnType<typeof sql>, since: ReturnType<typeof sql>) {
  return sql`case when ${seen} = int8multirange(int8range(1, upper(${seen}))) then null else ${since} end`;
}

/** What a producer may forget of these boots. */
export async function contiguousNumbers(
  trx: Transaction<AuditTables>,
  tenant: string,
  producer: string,
  boots: readonly string[],
): Promise<ContiguousNumber[]> {
  const { rows } = await sql<{ boot: string; n: number }>`
    select boot, upper(part) - 1 as n from numbers, unnest(seen) as part
    where tenant = ${tenant} and producer = ${producer} and boot = any(${[...boots]}::text[])
      and lower(part) = 1
    limit ${MAX_BOOTS}`.execute(trx);
  return rows;
}

/** Gaps of all tenants that are older than `seconds`: records that were numbered and never came. */
export async function numberGaps(
  db: Kysely<AuditTables>,
  seconds: number,
  limit = 100,
): Promise<NumberGap[]> {
  const { rows } = await sql<NumberGap>`
    select tenant, producer, boot, lower(hole) as "from", upper(hole) - 1 as "to"
    from numbers, unnest(int8multirange(int8range(1, upper(seen))) - seen) as hole
    where gap_since < now() - make_interval(secs => ${seconds})
    order by gap_since
    limit ${limit}`.execute(db);
  return rows;
}
