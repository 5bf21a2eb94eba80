import type { MigrationContext } from '@remit/service-kit';
import { sql } from 'kysely';

/** What a version in shadow would have decided. Nothing of it names a user or holds an argument. */
export async function policyShadow({ db, tenantTable }: MigrationContext): Promise<void> {
  await sql`
    create table policy_shadows (
      tenant text not null,
      seq bigint generated always as identity,
      version text,
      set_by text not null,
      set_at timestamptz not null default clock_timestamp(),
      primary key (tenant, seq),
      foreign key (tenant, version) references policy_versions (tenant, version)
    )`.execute(db);
  await tenantTable('policy_shadows', { privileges: ['select', 'insert'] });
  await sql`
    create table shadow_tallies (
      tenant text not null,
      version text not null,
      same bigint not null default 0,
      different bigint not null default 0,
      failed bigint not null default 0,
      primary key (tenant, version)
    )`.execute(db);
  await tenantTable('shadow_tallies', { privileges: ['select', 'insert', 'update'] });
  await sql`
    create table shadow_differences (
      tenant text not null,
      id text not null,
      at timestamptz not null,
      version text not null,
      active_version text not null,
      said jsonb not null,
      primary key (tenant, version, id)
    )`.execute(db);
  await sql`create index on shadow_differences (tenant, version, at desc)`.execute(db);
  await tenantTable('shadow_differences', { privileges: ['select', 'insert', 'delete'] });
}
