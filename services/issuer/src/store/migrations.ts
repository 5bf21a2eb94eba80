import { randomBytes } from 'node:crypto';
import type { Migrations } from '@remit/service-kit';
import { sql } from 'kysely';

/** The issuer's schema, step by step. A step that was released never changes. */
export const migrations: Migrations = {
  '0001_tasks_and_replay': async ({ db, tenantTable }) => {
    await sql`create table tasks (
      tenant text not null,
      id text not null,
      type text not null,
      user_id text not null,
      origin_agent text not null,
      jkt text,
      ceiling jsonb not null,
      purpose text not null,
      until timestamptz not null,
      created_at timestamptz not null default clock_timestamp(),
      primary key (tenant, id))`.execute(db);
    await tenantTable('tasks', { privileges: ['select', 'insert'] });

    await sql`create table assertions (
      tenant text not null,
      client text not null,
      jti_hash text not null,
      expires_at timestamptz not null,
      primary key (tenant, client, jti_hash))`.execute(db);
    await sql`create index assertions_expiry on assertions (expires_at)`.execute(db);
    await tenantTable('assertions', {
      privileges: ['select', 'insert', 'delete'],
      system: ['select', 'delete'],
    });

    await sql`create table dpop_proofs (
      tenant text not null,
      jkt text not null,
      jti_hash text not null,
      expires_at timestamptz not null,
      primary key (tenant, jkt, jti_hash))`.execute(db);
    await sql`create index dpop_proofs_expiry on dpop_proofs (expires_at)`.execute(db);
    await tenantTable('dpop_proofs', {
      privileges: ['select', 'insert', 'delete'],
      system: ['select', 'delete'],
    });
  },
  '0002_actor_tokens': async ({ db, tenantTable }) => {
    await sql`create table actor_tokens (
      tenant text not null,
      agent text not null,
      jti_hash text not null,
      expires_at timestamptz not null,
      primary key (tenant, agent, jti_hash))`.execute(db);
    await sql`create index actor_tokens_expiry on actor_tokens (expires_at)`.execute(db);
    await tenantTable('actor_tokens', {
      privileges: ['select', 'insert', 'delete'],
      system: ['select', 'delete'],
    });
  },
  '0003_nonce_secret': async ({ db, serviceTable }) => {
    await sql`create table nonce_secret (tenant text primary key, secret bytea not null)`.execute(
      db,
    );
    await serviceTable('nonce_secret', { privileges: ['select'] });
    await sql`insert into nonce_secret values ('*', ${randomBytes(32)})`.execute(db);
  },
};
