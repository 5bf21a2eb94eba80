import { createOutboxTables, type Migrations } from '@remit/service-kit';
import { sql } from 'kysely';
import { policyShadow } from './migration-shadow.ts';

/** Versions never change and activations are a history, so the service cannot even update them. */
const APPEND_ONLY = { privileges: ['select', 'insert'] } as const;

/** The schema of the pdp, in the order of the names. */
export const migrations: Migrations = {
  '0001_policies': async (context) => {
    const { db, tenantTable } = context;
    await createOutboxTables(context);
    await sql`
      create table policy_versions (
        tenant text not null,
        number integer not null check (number > 0),
        version text not null check (length(version) = 43),
        author text not null,
        message text not null,
        files jsonb not null,
        created_at timestamptz not null default clock_timestamp(),
        primary key (tenant, number),
        unique (tenant, version)
      )`.execute(db);
    await tenantTable('policy_versions', APPEND_ONLY);
    await sql`
      create table policy_activations (
        tenant text not null,
        seq bigint not null,
        number integer not null,
        version text not null,
        activated_by text not null,
        activated_at timestamptz not null default clock_timestamp(),
        primary key (tenant, seq),
        foreign key (tenant, number) references policy_versions (tenant, number),
        foreign key (tenant, version) references policy_versions (tenant, version)
      )`.execute(db);
    await tenantTable('policy_activations', APPEND_ONLY);
  },
  '0002_sessions': async ({ db, tenantTable }) => {
    await sql`
      create table task_sessions (
        tenant text not null,
        task text not null,
        calls bigint not null check (calls > 0),
        denials bigint not null,
        volume bigint not null,
        tools text[] not null,
        actions text[] not null,
        seen_at timestamptz not null,
        primary key (tenant, task)
      )`.execute(db);
    await sql`create index on task_sessions (seen_at)`.execute(db);
    await tenantTable('task_sessions', { system: ['select', 'delete'] });
    await sql`
      create table task_minutes (
        tenant text not null,
        task text not null,
        minute bigint not null,
        calls bigint not null,
        denials bigint not null,
        volume bigint not null,
        primary key (tenant, task, minute)
      )`.execute(db);
    await sql`create index on task_minutes (minute)`.execute(db);
    await tenantTable('task_minutes', { system: ['select', 'delete'] });
    // What a tenant's decision point of its own was when calls were last told of it.
    await sql`
      create table external_guardrails (
        tenant text not null primary key,
        digest text not null,
        seen_at timestamptz not null default clock_timestamp()
      )`.execute(db);
    await tenantTable('external_guardrails', { system: ['select'] });
  },
  '0003_policy_shadow': policyShadow,
};
