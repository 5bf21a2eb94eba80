import { createOutboxTables, type Migrations } from '@remit/service-kit';
import { sql } from 'kysely';

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
};
