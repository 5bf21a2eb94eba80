import type { MigrationContext } from '@remit/service-kit';
import { sql } from 'kysely';

/**
 * Registration in one round trip: a statement by itself is a transaction. A new id, decided under the
 * head as it is held here, within its time, named by no revocation, goes to the first free of the
 * drawn indices of the open list while more than a few are. Otherwise nothing is registered, and there
 * is no row. Runs with the caller's rights behind row-level security; each statement in it sees what
 * was committed before, so what is revoked once the head is held sees the registration.
 */
export async function migrateRegister({ db }: MigrationContext): Promise<void> {
  await sql`create function register_token(
      of_tenant text, named_kinds text[], named_ids text[], of_jti text, of_lineage text[],
      of_epoch text, of_seq bigint, of_task text, of_actors text[], of_user text, of_client text,
      of_keys text[], of_exp bigint, skew_seconds bigint, life_seconds bigint,
      list_bits integer, drawn integer[], too_few integer)
    returns table (list integer, idx integer)
    language plpgsql volatile as $$
    #variable_conflict use_column
    declare
      at_seconds bigint;
      open_list integer;
      free integer[];
    begin
      perform set_config('remit.tenant', of_tenant, true);
      if exists (select from registration r where r.tenant = of_tenant and r.jti = of_jti) then
        return;
      end if;
      perform from head h where h.tenant = of_tenant and h.seq = of_seq for share;
      if not found then
        return;
      end if;
      select greatest(l.feed_ms,
          floor(extract(epoch from statement_timestamp()) * 1000)::bigint + l.offset_ms) / 1000
        into at_seconds from epoch e, lease l
        where e.id = of_epoch and e.number = (select max(n.number) from epoch n);
      if at_seconds is null or of_exp <= at_seconds - skew_seconds
        or of_exp > at_seconds + life_seconds + skew_seconds then
        return;
      end if;
      if exists (select from unnest(named_kinds, named_ids) as n (kind, id)
        join revocation r on r.tenant = of_tenant and r.verb = 'revoke'
          and r.kind = n.kind and r.id = n.id) then
        return;
      end if;
      select s.list into open_list from (
          select * from status_list every where every.tenant = of_tenant
          order by every.list desc limit 1) s
        where not s.closed and s.size = list_bits and s.epoch = of_epoch;
      if open_list is null then
        return;
      end if;
      select array_agg(d.idx order by d.place) into free
        from unnest(drawn) with ordinality as d (idx, place)
        where not exists (select from registration r
          where r.tenant = of_tenant and r.list = open_list and r.idx = d.idx);
      if coalesce(cardinality(free), 0) <= too_few then
        return;
      end if;
      return query insert into registration as r
          (tenant, jti, lineage, rev_epoch, rev_seq, task, actors, user_id, client, keys, exp, list, idx)
        values (of_tenant, of_jti, of_lineage, of_epoch, of_seq, of_task, of_actors, of_user,
          of_client, of_keys, of_exp, open_list, free[1])
        on conflict on constraint registration_tenant_list_idx_key do nothing
        returning r.list, r.idx;
    end $$`.execute(db);
}
