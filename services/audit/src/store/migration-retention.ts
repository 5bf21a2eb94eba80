import type { MigrationContext } from '@remit/service-kit';
import { sql } from 'kysely';
import { createPartitions, lockPartition, MONTHS_AHEAD, months } from './partitions.ts';

/**
 * Records in partitions by the month in which they arrived; what retention leaves of them; holds; and
 * the right to erase personal values.
 */
export async function retention({ db, tenantTable }: MigrationContext): Promise<void> {
  await sql`alter table records rename to records_before`.execute(db);
  await sql`alter table records_before no force row level security`.execute(db);
  // A partitioned key holds the partition's column. That a sequence or an id is given once is kept by
  // the tenant's lock, under which the head is read, the known ids are looked up and rows are written.
  await sql`
    create table records (
      tenant text not null,
      seq bigint not null check (seq > 0),
      id text not null,
      producer text not null,
      bytes bytea not null,
      leaf_hash bytea not null check (length(leaf_hash) = 32),
      received_at timestamptz not null default now(),
      time timestamptz not null,
      event text not null,
      decision text,
      reason text,
      agents text[] not null,
      client text,
      task text,
      action text,
      resource text,
      jti text,
      decision_id text,
      record jsonb not null,
      primary key (tenant, seq, received_at),
      unique (tenant, producer, id, received_at)
    ) partition by range (received_at)`.execute(db);
  await sql`create table records_default partition of records default`.execute(db);
  await lockPartition(db, 'records_default');
  await sql`alter table records_default no force row level security`.execute(db);
  await sql`insert into records select * from records_before`.execute(db);
  await sql`drop table records_before`.execute(db);
  await sql`alter table records_default force row level security`.execute(db);
  await sql`create index records_by_id on records (tenant, id)`.execute(db);
  await sql`create index records_by_time on records (tenant, time, seq)`.execute(db);
  await sql`create index records_by_task on records (tenant, task, seq) where task is not null`.execute(
    db,
  );
  await sql`create index records_by_event on records (tenant, event, decision, seq)`.execute(db);
  await sql`create index records_by_agent on records using gin (agents)`.execute(db);
  await sql`create index records_by_token on records (tenant, jti, seq) where jti is not null`.execute(
    db,
  );
  await sql`create index records_by_decision on records (tenant, decision_id)
    where decision_id is not null`.execute(db);
  await createPartitions(db, months(Date.now(), MONTHS_AHEAD));
  await tenantTable('records', { privileges: ['select', 'insert'] });

  // Written by the owner alone, when retention lets the rest of a record go.
  await sql`
    create table leaves (
      tenant text not null,
      seq bigint not null check (seq > 0),
      leaf_hash bytea not null check (length(leaf_hash) = 32),
      producer text not null,
      id text not null,
      primary key (tenant, seq),
      unique (tenant, producer, id)
    )`.execute(db);
  await tenantTable('leaves', { privileges: ['select'] });

  await sql`
    create table retentions (
      tenant text not null,
      up_to bigint not null check (up_to > 0),
      record_id text not null,
      decided_at timestamptz not null default now(),
      primary key (tenant, up_to)
    )`.execute(db);
  await tenantTable('retentions', { privileges: ['select', 'insert'], system: ['select'] });

  await sql`
    create table holds (
      tenant text not null,
      id text not null,
      "user" text,
      task text,
      from_time timestamptz,
      to_time timestamptz,
      reason text not null,
      placed_by text not null,
      placed_at timestamptz not null default now(),
      released_by text,
      released_at timestamptz,
      primary key (tenant, id)
    )`.execute(db);
  await tenantTable('holds', { privileges: ['select', 'insert', 'update'] });

  // A value that a policy only commits to keeps its salt: whoever knows the value can show it.
  await sql`alter table disclosures alter column value drop not null`.execute(db);
  await sql`drop policy tenant_rows on disclosures`.execute(db);
  await tenantTable('disclosures', { privileges: ['select', 'insert', 'delete'] });
  for (const table of ['quarantine', 'conflicts']) {
    await sql`drop policy tenant_rows on ${sql.ref(table)}`.execute(db);
  }
  for (const command of ['select', 'insert']) {
    await sql`drop policy ${sql.ref(`system_${command}`)} on quarantine`.execute(db);
  }
  const redactable = { privileges: ['select', 'insert', 'update'] } as const;
  await tenantTable('quarantine', { ...redactable, system: ['select', 'insert'] });
  await tenantTable('conflicts', redactable);
}
