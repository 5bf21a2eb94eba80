import { createOutboxTables, type MigrationContext, type Migrations } from '@remit/service-kit';
import { sql } from 'kysely';

async function start(context: MigrationContext): Promise<void> {
  const { db, tenantTable } = context;
  await createOutboxTables(context);
  await sql`create table tenants (
    tenant text primary key,
    status text not null check (status in ('active', 'inactive')),
    body text not null,
    revision bigint not null)`.execute(db);
  await sql`create table bodies (
    tenant text not null,
    digest text not null,
    kind text not null,
    text text not null,
    primary key (tenant, digest))`.execute(db);
  await sql`create table agents (
    tenant text not null,
    id text not null,
    status text not null check (status in ('active', 'inactive', 'removed')),
    version bigint not null,
    spec text not null,
    body text not null,
    envelope_version bigint not null,
    envelope_spec text not null,
    envelope text not null,
    primary key (tenant, id))`.execute(db);
  await sql`create table roles (
    tenant text not null, id text not null, body text not null, primary key (tenant, id))`.execute(
    db,
  );
  await sql`create table users (
    tenant text not null,
    id text not null,
    status text not null check (status in ('active', 'inactive', 'removed')),
    body text not null,
    spec text not null,
    primary key (tenant, id))`.execute(db);
  await sql`create table user_identities (
    tenant text not null,
    issuer text not null,
    subject text not null,
    user_id text not null,
    primary key (tenant, issuer, subject),
    foreign key (tenant, user_id) references users (tenant, id))`.execute(db);
  await sql`create table user_groups (
    tenant text not null,
    user_id text not null,
    group_id text not null,
    primary key (tenant, user_id, group_id),
    foreign key (tenant, user_id) references users (tenant, id))`.execute(db);
  await sql`create table user_roles (
    tenant text not null,
    user_id text not null,
    role text not null,
    primary key (tenant, user_id, role),
    foreign key (tenant, user_id) references users (tenant, id),
    foreign key (tenant, role) references roles (tenant, id))`.execute(db);
  await sql`create table group_roles (
    tenant text not null,
    group_id text not null,
    role text not null,
    primary key (tenant, group_id, role),
    foreign key (tenant, role) references roles (tenant, id))`.execute(db);
  await sql`create table tools (
    tenant text not null,
    id text not null,
    audience text not null,
    body text not null,
    primary key (tenant, id),
    unique (tenant, audience))`.execute(db);
  await sql`create table task_types (
    tenant text not null, id text not null, body text not null, primary key (tenant, id))`.execute(
    db,
  );
  await sql`create table load_reports (
    tenant text not null,
    id bigint generated always as identity primary key,
    revision bigint not null,
    summary text not null,
    recorded_at timestamptz)`.execute(db);

  await tenantTable('tenants', { privileges: ['select', 'insert', 'update'] });
  // A body never changes: its digest is its name.
  await tenantTable('bodies', { privileges: ['select', 'insert'] });
  await tenantTable('agents', { privileges: ['select', 'insert', 'update'] });
  await tenantTable('users', { privileges: ['select', 'insert', 'update'] });
  for (const name of ['roles', 'tools', 'task_types']) await tenantTable(name);
  for (const name of ['user_identities', 'user_groups', 'user_roles', 'group_roles']) {
    await tenantTable(name, { privileges: ['select', 'insert', 'delete'] });
  }
  await tenantTable('load_reports', {
    privileges: ['select', 'insert', 'update'],
    system: ['select', 'update'],
  });
}

export const migrations: Migrations = { '0001_start': start };
