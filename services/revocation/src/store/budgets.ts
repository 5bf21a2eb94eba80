import type { BudgetRegistration } from '@remit/contracts';
import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import { feedMsNow } from './point.ts';
import type { Charge, ReservationState, Tables, Trx } from './tables.ts';

/** A budget as it counts at this moment. */
export type Budget = {
  id: string;
  unit: string;
  maxAmount: number;
  period: number;
  /** When its account may go; null: never. */
  keepUntil: number | null;
  /** Whether its account is there. */
  opened: boolean;
};
/** Text without a character that ids have stands between them. */
export const keyOf = ({ id, period }: Pick<Charge, 'id' | 'period'>): string => `${id} ${period}`;
export type Account = { id: string; period: number; spent: number; held: number };
export type Reservation = Omit<Tables['budget_reservation'], 'tenant' | 'charges'> & {
  charges: Charge[];
};
/** What changes in an account. */
export type Change = Account;

const byKey = (a: Pick<Charge, 'id' | 'period'>, b: Pick<Charge, 'id' | 'period'>) =>
  a.id === b.id ? a.period - b.period : a.id < b.id ? -1 : 1;

/** An account stays this long after the last call that may change it. */
const ACCOUNT_KEPT_SECONDS = 7_200;

/** Makes budgets known, or gives them the limit of a younger revision. In one order over all callers. */
export async function registerBudgets(
  trx: Trx,
  tenant: string,
  budgets: readonly BudgetRegistration[],
  keepSeconds: number,
): Promise<void> {
  const known = await trx
    .selectFrom('budget')
    .select(['id', 'revision'])
    .where('tenant', '=', tenant)
    .where(
      'id',
      'in',
      budgets.map(({ id }) => id),
    )
    .execute();
  const revisions = new Map(known.map(({ id, revision }) => [id, revision]));
  // Locks only what changes: budgets of agents and users are those of many launches.
  const changed = budgets.filter(({ id, revision }) => (revisions.get(id) ?? -1) < revision);
  for (const { id, unit, limit, every_seconds, revision, until } of changed.toSorted((a, b) =>
    a.id < b.id ? -1 : 1,
  )) {
    const row = {
      unit,
      max_amount: limit,
      every_seconds: every_seconds ?? null,
      revision,
      keep_until: until === undefined ? null : until + keepSeconds,
    };
    await trx
      .insertInto('budget')
      .values({ tenant, id, ...row })
      .onConflict((conflict) =>
        conflict.columns(['tenant', 'id']).doUpdateSet(row).where('budget.revision', '<', revision),
      )
      .execute();
  }
}

/** The budgets of these ids that are known, in their present period. */
export async function findBudgets(
  trx: Trx,
  tenant: string,
  ids: readonly string[],
  now: number,
): Promise<Budget[]> {
  const { rows } = await sql<Budget>`
    select b.id, b.unit, b.max_amount as "maxAmount", p.period, a.id is not null as opened,
      case when b.every_seconds is null then b.keep_until
        else (p.period + 1) * b.every_seconds + ${ACCOUNT_KEPT_SECONDS} end as "keepUntil"
    from budget b
    cross join lateral (select coalesce(${now}::bigint / b.every_seconds, 0) as period) p
    left join budget_account a on a.tenant = ${tenant} and a.id = b.id and a.period = p.period
    where b.tenant = ${tenant} and b.id = any(${[...ids]}::text[])`.execute(trx);
  return rows;
}

/** Opens accounts that aren't there. Before any is locked, and in one order. */
export async function openAccounts(
  trx: Trx,
  tenant: string,
  budgets: readonly Budget[],
): Promise<void> {
  if (budgets.length === 0) return;
  await trx
    .insertInto('budget_account')
    .values(
      budgets
        .toSorted(byKey)
        .map(({ id, period, keepUntil }) => ({ tenant, id, period, keep_until: keepUntil })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/**
 * Locks accounts until commit and reads them, always in one order, so that two who need the same
 * never wait for each other. Whoever changes a reservation holds the accounts that it charges.
 */
export async function lockAccounts(
  trx: Trx,
  tenant: string,
  keys: readonly Pick<Charge, 'id' | 'period'>[],
): Promise<Map<string, Account>> {
  const unique = [...new Map(keys.map((key) => [keyOf(key), key])).values()];
  const { rows } = await sql<Account>`
    select a.id, a.period, a.spent, a.held
    from unnest(${unique.map(({ id }) => id)}::text[],
      ${unique.map(({ period }) => period)}::bigint[]) as k (id, period)
    join budget_account a on a.tenant = ${tenant} and a.id = k.id and a.period = k.period
    order by a.id collate "C", a.period
    for update of a`.execute(trx);
  return new Map(rows.map((row) => [keyOf(row), row]));
}

export async function addToAccounts(
  trx: Trx,
  tenant: string,
  changes: readonly Change[],
): Promise<void> {
  const sums = new Map<string, Change>();
  for (const change of changes) {
    const sum = sums.get(keyOf(change)) ?? { ...change, spent: 0, held: 0 };
    sum.spent += change.spent;
    sum.held += change.held;
    sums.set(keyOf(change), sum);
  }
  const moved = [...sums.values()].filter(({ spent, held }) => spent !== 0 || held !== 0);
  if (moved.length === 0) return;
  const column = (name: keyof Change) => moved.map((one) => one[name]);
  await sql`
    update budget_account a set spent = a.spent + m.spent, held = a.held + m.held
    from unnest(${column('id')}::text[], ${column('period')}::bigint[], ${column('spent')}::bigint[],
      ${column('held')}::bigint[]) as m (id, period, spent, held)
    where a.tenant = ${tenant} and a.id = m.id and a.period = m.period`.execute(trx);
}

export async function findReservations(
  trx: Trx,
  tenant: string,
  attempts: readonly string[],
): Promise<Map<string, Reservation>> {
  const rows = await trx
    .selectFrom('budget_reservation')
    .select(['attempt', 'pep', 'jti', 'audience', 'charges', 'state', 'expires_ms', 'keep_until'])
    .where('tenant', '=', tenant)
    .where('attempt', 'in', [...attempts])
    .execute();
  return new Map(rows.map((row) => [row.attempt, row]));
}

/** Inserts those whose attempt nobody has, and answers with their attempts. */
export async function insertReservations(
  trx: Trx,
  tenant: string,
  reservations: readonly Reservation[],
): Promise<Set<string>> {
  if (reservations.length === 0) return new Set();
  const rows = await trx
    .insertInto('budget_reservation')
    .values(
      reservations
        .toSorted((a, b) => (a.attempt < b.attempt ? -1 : 1))
        .map((one) => ({ ...one, tenant, charges: JSON.stringify(one.charges) })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .returning('attempt')
    .execute();
  return new Set(rows.map(({ attempt }) => attempt));
}

export async function setStates(
  trx: Trx,
  tenant: string,
  states: ReadonlyMap<string, ReservationState>,
): Promise<void> {
  if (states.size === 0) return;
  await sql`
    update budget_reservation r set state = n.state
    from unnest(${[...states.keys()]}::text[], ${[...states.values()]}::text[]) as n (attempt, state)
    where r.tenant = ${tenant} and r.attempt = n.attempt`.execute(trx);
}

/** Attempts of all tenants that were held too long, by tenant. */
export async function overdue(
  database: Database<Tables>,
  atMost: number,
): Promise<Map<string, string[]>> {
  const { rows } = await database.withSystem((trx) =>
    sql<{ tenant: string; attempt: string }>`
      select r.tenant, r.attempt from budget_reservation r, lease
      where r.state = 'reserved' and r.expires_ms < ${feedMsNow}
      order by r.expires_ms limit ${atMost}`.execute(trx),
  );
  const found = new Map<string, string[]>();
  for (const { tenant, attempt } of rows) {
    found.set(tenant, [...(found.get(tenant) ?? []), attempt]);
  }
  return found;
}

/** Deletes of all tenants what no call can need any more; counts the rows. */
export async function forgetBudgets(database: Database<Tables>): Promise<number> {
  let forgotten = 0n;
  for (const table of ['budget_reservation', 'budget_account', 'budget'] as const) {
    const { numAffectedRows = 0n } = await database.withSystem((trx) =>
      sql`delete from ${sql.table(table)} t using lease
        where t.keep_until < ${feedMsNow} / 1000`.execute(trx),
    );
    forgotten += numAffectedRows;
  }
  return Number(forgotten);
}
