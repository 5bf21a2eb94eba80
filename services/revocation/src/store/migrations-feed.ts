import type { MigrationContext } from '@remit/service-kit';
import { sql } from 'kysely';

/** What lets the service notice a store that was put back, announce keys of the feed, and forget. */
export async function migrateFeed({ db, serviceTable, allow }: MigrationContext): Promise<void> {
  await sql`alter table epoch add column cluster text`.execute(db);
  // Some hosters keep the control data to themselves.
  await sql`do $$ begin
    update epoch set cluster = (select system_identifier from pg_control_system())::text
      || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
      where number = (select max(number) from epoch);
  exception when insufficient_privilege then null;
  end $$`.execute(db);
  await allow('epoch', ['insert']);
  await sql`alter table lease add column renewals bigint not null default 0`.execute(db);
  // The number of a list says when its epoch began, so one of a store put back is never used again.
  await sql`alter table status_list add column epoch text`.execute(db);
  // The owner is behind the tenants' policies too, and means them all here.
  await sql`alter table status_list no force row level security`.execute(db);
  await sql`update status_list set epoch = (select id from epoch order by number desc limit 1)`.execute(
    db,
  );
  await sql`alter table status_list force row level security`.execute(db);
  await sql`alter table status_list alter column epoch set not null`.execute(db);

  await sql`create table feed_key (
    tenant text not null,
    kid text primary key,
    jws text,
    at timestamptz not null default clock_timestamp())`.execute(db);
  await serviceTable('feed_key', { privileges: ['select', 'insert'] });

  await sql`alter table head add column floor bigint not null default 0`.execute(db);
  for (const table of ['registration', 'revocation', 'status_list']) {
    await allow(table, ['delete']);
  }
  await sql`create index registration_old on registration (tenant, exp)`.execute(db);
}
