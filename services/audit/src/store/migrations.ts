import type { Migrations } from '@remit/service-kit';
import { sql } from 'kysely';
import { retention } from './migration-retention.ts';

/** What the service may do to what was written once. */
const APPEND_ONLY = { privileges: ['select', 'insert'] } as const;
const HEAD = { privileges: ['select', 'insert', 'update'] } as const;

/** The schema of the audit service, in the order of the names. */
export const migrations: Migrations = {
  '0001_ledger': async ({ db, tenantTable }) => {
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
        primary key (tenant, seq),
        unique (tenant, producer, id)
      )`.execute(db);
    await sql`create index records_by_id on records (tenant, id)`.execute(db);
    await sql`create index records_by_time on records (tenant, time, seq)`.execute(db);
    await sql`create index records_by_task on records (tenant, task, seq) where task is not null`.execute(
      db,
    );
    await sql`create index records_by_event on records (tenant, event, decision, seq)`.execute(db);
    await sql`create index records_by_agent on records using gin (agents)`.execute(db);
    await tenantTable('records', APPEND_ONLY);

    await sql`
      create table disclosures (
        tenant text not null,
        producer text not null,
        record_id text not null,
        pointer text not null,
        salt text not null,
        value text not null,
        primary key (tenant, producer, record_id, pointer)
      )`.execute(db);
    await sql`
      create index disclosures_by_principal on disclosures (tenant, value)
      where pointer = '/principal'`.execute(db);
    await tenantTable('disclosures', APPEND_ONLY);

    await sql`
      create table heads (
        tenant text primary key,
        seq bigint not null check (seq >= 0),
        edge bytea not null,
        updated_at timestamptz not null default now()
      )`.execute(db);
    await tenantTable('heads', { ...HEAD, system: ['select'] });

    await sql`
      create table tree_nodes (
        tenant text not null,
        level smallint not null check (level > 0 and level % 8 = 0),
        idx bigint not null check (idx >= 0),
        hash bytea not null check (length(hash) = 32),
        primary key (tenant, level, idx)
      )`.execute(db);
    await tenantTable('tree_nodes', APPEND_ONLY);

    await sql`
      create table checkpoints (
        tenant text not null,
        size bigint not null check (size >= 0),
        note text not null,
        created_at timestamptz not null default now(),
        primary key (tenant, size)
      )`.execute(db);
    await tenantTable('checkpoints', APPEND_ONLY);
  },

  '0002_intake': async ({ db, tenantTable }) => {
    await sql`
      create table numbers (
        tenant text not null,
        producer text not null,
        boot text not null,
        seen int8multirange not null,
        gap_since timestamptz,
        primary key (tenant, producer, boot)
      )`.execute(db);
    await sql`create index numbers_with_gap on numbers (gap_since) where gap_since is not null`.execute(
      db,
    );
    await tenantTable('numbers', { ...HEAD, system: ['select'] });

    // A subject without a valid tenant is kept under `*`, which no tenant's transaction sees.
    await sql`
      create table quarantine (
        tenant text not null,
        digest bytea not null,
        subject text not null,
        reason text not null,
        payload bytea not null,
        received_at timestamptz not null default now(),
        primary key (tenant, digest)
      )`.execute(db);
    await tenantTable('quarantine', { ...APPEND_ONLY, system: ['select', 'insert'] });

    await sql`
      create table conflicts (
        tenant text not null,
        producer text not null,
        id text not null,
        digest bytea not null,
        payload bytea not null,
        received_at timestamptz not null default now(),
        primary key (tenant, producer, id, digest)
      )`.execute(db);
    await tenantTable('conflicts', APPEND_ONLY);
  },

  '0003_retention': retention,

  '0004_cosignatures': async ({ db, tenantTable }) => {
    await sql`
      create table cosignatures (
        tenant text not null,
        size bigint not null check (size >= 0),
        cosigner text not null,
        lines text not null,
        created_at timestamptz not null default now(),
        primary key (tenant, size, cosigner)
      )`.execute(db);
    await tenantTable('cosignatures', APPEND_ONLY);
  },

  // Each question that an auditor asks is answered in the order of the sequence from an index.
  '0005_answers': async ({ db }) => {
    for (const column of ['reason', 'action', 'resource']) {
      const name = sql.ref(column);
      await sql`create index ${sql.ref(`records_by_${column}`)} on records (tenant, ${name}, seq)
        where ${name} is not null`.execute(db);
    }
    // The user of a record is a value that can be erased; beside it stands where the record is.
    await sql`alter table disclosures add column seq bigint`.execute(db);
    for (const table of ['records', 'disclosures']) {
      await sql`alter table ${sql.ref(table)} no force row level security`.execute(db);
    }
    await sql`update disclosures d set seq = r.seq from records r
      where r.tenant = d.tenant and r.producer = d.producer and r.id = d.record_id`.execute(db);
    for (const table of ['records', 'disclosures']) {
      await sql`alter table ${sql.ref(table)} force row level security`.execute(db);
    }
    await sql`drop index disclosures_by_principal`.execute(db);
    await sql`create index disclosures_by_principal on disclosures (tenant, value, seq)
      where pointer = '/principal'`.execute(db);
  },
};
