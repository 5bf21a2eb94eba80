import { randomBytes } from 'node:crypto';
import { createOutboxTables, type Migrations } from '@remit/service-kit';
import { sql } from 'kysely';
import { migrateBudgets } from './migrations-budgets.ts';
import { migrateConsume } from './migrations-consume.ts';
import { migrateFeed } from './migrations-feed.ts';
import { migrateRegister } from './migrations-register.ts';

/** Migrations of the schema `revocation`, run by its owner. */
export const migrations: Migrations = {
  '0001_revocation': async (context) => {
    const { db, tenantTable, serviceTable } = context;
    await createOutboxTables(context);

    await sql`create table epoch (
      tenant text not null,
      number bigint primary key,
      id text not null unique,
      feed_secret bytea not null,
      started_at timestamptz not null default clock_timestamp())`.execute(db);
    await serviceTable('epoch', { privileges: ['select'] });
    await sql`insert into epoch (tenant, number, id, feed_secret)
      values ('*', 1, ${randomBytes(6).toString('base64url')}, ${randomBytes(32)})`.execute(db);

    await sql`create table lease (
      tenant text primary key,
      holder text not null,
      term bigint not null,
      expires_at timestamptz not null,
      feed_ms bigint not null,
      offset_ms bigint not null)`.execute(db);
    await serviceTable('lease', { privileges: ['select', 'update'] });
    await sql`insert into lease values ('*', '', 0, clock_timestamp(), 0, 0)`.execute(db);

    await sql`create table head (
      tenant text primary key,
      seq bigint not null,
      moved_at timestamptz not null)`.execute(db);
    await sql`create index head_moved on head (moved_at)`.execute(db);
    await tenantTable('head', { privileges: ['select', 'insert', 'update'], system: ['select'] });

    await sql`create table revocation (
      tenant text not null,
      seq bigint not null,
      verb text not null check (verb in ('revoke', 'recheck')),
      kind text not null check (kind in
        ('token', 'link', 'task', 'agent', 'user', 'client', 'tenant', 'key')),
      id text not null,
      at bigint not null,
      ends bigint check ((ends is null) = (kind = 'key')),
      by_kind text not null,
      by_id text not null,
      reason text,
      primary key (tenant, seq))`.execute(db);
    await sql`create index revocation_named on revocation (tenant, kind, id, seq)
      where verb = 'revoke'`.execute(db);
    await sql`create index revocation_alive on revocation (tenant, ends)`.execute(db);
    // Revocations are never changed and never taken back.
    await tenantTable('revocation', { privileges: ['select', 'insert'] });

    await sql`create table status_list (
      tenant text not null,
      list integer not null,
      size integer not null,
      closed boolean not null default false,
      late bigint not null default 0,
      bits bytea not null,
      primary key (tenant, list))`.execute(db);
    await tenantTable('status_list', { privileges: ['select', 'insert', 'update'] });

    await sql`create table registration (
      tenant text not null,
      jti text not null,
      lineage text[] not null,
      rev_epoch text not null,
      rev_seq bigint not null,
      task text not null,
      actors text[] not null,
      user_id text not null,
      client text not null,
      keys text[] not null,
      exp bigint not null,
      list integer not null,
      idx integer not null,
      registered_at timestamptz not null default clock_timestamp(),
      primary key (tenant, jti),
      unique (tenant, list, idx),
      foreign key (tenant, list) references status_list (tenant, list))`.execute(db);
    await sql`create index registration_task on registration (tenant, task)`.execute(db);
    await sql`create index registration_alive on registration (tenant, list, exp)`.execute(db);
    await tenantTable('registration', { privileges: ['select', 'insert'] });

    await sql`create table source_position (
      tenant text not null,
      source text primary key,
      seq bigint not null)`.execute(db);
    await serviceTable('source_position', { privileges: ['select', 'insert', 'update'] });
    await sql`insert into source_position values ('*', 'registry', 0), ('*', 'pdp', 0)`.execute(db);
    await sql`create table source_ahead (
      tenant text not null,
      source text not null,
      seq bigint not null,
      primary key (source, seq))`.execute(db);
    await serviceTable('source_ahead', { privileges: ['select', 'insert', 'delete'] });
    await sql`create table quarantine (
      tenant text not null,
      id bigint generated always as identity primary key,
      stream text not null,
      subject text not null,
      why text not null,
      payload bytea not null,
      at timestamptz not null default clock_timestamp())`.execute(db);
    await serviceTable('quarantine', { privileges: ['select', 'insert'] });
  },
  '0002_single_use': async ({ db, tenantTable }) => {
    await sql`create table single_use (
      tenant text not null,
      use_id text not null,
      attempt text not null,
      pep text not null,
      jti text not null,
      task text not null,
      audience text not null,
      consumed_at timestamptz not null default clock_timestamp(),
      keep_until bigint not null,
      primary key (tenant, use_id))`.execute(db);
    await sql`create index single_use_old on single_use (keep_until)`.execute(db);
    // Never changed. Only upkeep deletes, long after every token that shares the use.
    await tenantTable('single_use', {
      privileges: ['select', 'insert', 'delete'],
      system: ['select', 'delete'],
    });
  },
  '0003_proof_claim': async ({ db, tenantTable }) => {
    await sql`create table proof_claim (
      tenant text not null,
      proof text not null,
      attempt text not null,
      pep text not null,
      keep_until bigint not null,
      primary key (tenant, proof))`.execute(db);
    await sql`create index proof_claim_old on proof_claim (keep_until)`.execute(db);
    await tenantTable('proof_claim', {
      privileges: ['select', 'insert', 'delete'],
      system: ['select', 'delete'],
    });
  },
  '0004_feed': migrateFeed,
  '0005_budgets': migrateBudgets,
  '0006_consume': migrateConsume,
  '0007_register': migrateRegister,
};
