import type { MigrationContext } from '@remit/service-kit';
import { sql } from 'kysely';

/** Amounts are whole ten-thousandths of a budget's unit. */
export async function migrateBudgets({ db, tenantTable }: MigrationContext): Promise<void> {
  const system = ['select', 'delete'] as const;
  await sql`create table budget (
    tenant text not null,
    id text not null,
    unit text not null,
    max_amount bigint not null,
    every_seconds integer check (every_seconds > 0),
    revision bigint not null,
    keep_until bigint,
    primary key (tenant, id))`.execute(db);
  await sql`create index budget_old on budget (keep_until) where keep_until is not null`.execute(
    db,
  );
  await tenantTable('budget', { system });

  await sql`create table budget_account (
    tenant text not null,
    id text not null,
    period bigint not null,
    spent bigint not null default 0 check (spent >= 0),
    held bigint not null default 0 check (held >= 0),
    keep_until bigint,
    primary key (tenant, id, period))`.execute(db);
  await sql`create index budget_account_old on budget_account (keep_until)
    where keep_until is not null`.execute(db);
  await tenantTable('budget_account', { system });

  await sql`create table budget_reservation (
    tenant text not null,
    attempt text not null,
    pep text not null,
    jti text not null,
    audience text not null,
    charges jsonb not null,
    state text not null check (state in ('reserved', 'committed', 'released', 'expired')),
    expires_ms bigint not null,
    keep_until bigint not null,
    primary key (tenant, attempt))`.execute(db);
  await sql`create index budget_reservation_due on budget_reservation (expires_ms)
    where state = 'reserved'`.execute(db);
  await sql`create index budget_reservation_old on budget_reservation (keep_until)`.execute(db);
  await tenantTable('budget_reservation', { system });
}
