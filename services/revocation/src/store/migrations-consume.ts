import type { MigrationContext } from '@remit/service-kit';
import { sql } from 'kysely';

/**
 * Consumption in one round trip: a statement by itself is a transaction. Without revocations that
 * name anything of the tokens, under one epoch, not ahead of the head and within their time, uses
 * that nobody has are inserted in the order of their ids. Otherwise nothing is, and there is no row.
 * Runs with the caller's rights behind row-level security; each statement in it sees what was
 * committed before, so the head is read first, as everywhere.
 */
export async function migrateConsume({ db }: MigrationContext): Promise<void> {
  await sql`create function consume_uses(
      of_tenant text, named_kinds text[], named_ids text[], epochs text[], newest_seq bigint,
      first_exp bigint, last_exp bigint, skew_seconds bigint, life_seconds bigint,
      retention_seconds bigint, uses text[], attempts text[], peps text[], jtis text[], tasks text[],
      audiences text[], exps bigint[])
    returns table (epoch text, seq bigint, inserted_uses text[], inserted_attempts text[])
    language plpgsql volatile as $$
    declare
      at_seconds bigint;
    begin
      perform set_config('remit.tenant', of_tenant, true);
      select e.id, h.seq, greatest(l.feed_ms,
          floor(extract(epoch from statement_timestamp()) * 1000)::bigint + l.offset_ms) / 1000
        into epoch, seq, at_seconds
        from epoch e, lease l, head h where h.tenant = of_tenant
        order by e.number desc limit 1;
      if epoch is null or epochs <> array[epoch] or newest_seq > seq
        or first_exp <= at_seconds - skew_seconds
        or last_exp > at_seconds + life_seconds + skew_seconds then
        return;
      end if;
      if exists (select from unnest(named_kinds, named_ids) as n (kind, id)
        join revocation r on r.tenant = of_tenant and r.verb = 'revoke'
          and r.kind = n.kind and r.id = n.id) then
        return;
      end if;
      with won as (
        insert into single_use as u
          (tenant, use_id, attempt, pep, jti, task, audience, keep_until)
        select of_tenant, a.use_id, a.attempt, a.pep, a.jti, a.task, a.audience,
          greatest(at_seconds, a.exp) + retention_seconds
        from unnest(uses, attempts, peps, jtis, tasks, audiences, exps)
          as a (use_id, attempt, pep, jti, task, audience, exp)
        on conflict on constraint single_use_pkey do nothing
        returning u.use_id, u.attempt)
      select array_agg(w.use_id), array_agg(w.attempt)
        into inserted_uses, inserted_attempts from won w;
      inserted_uses := coalesce(inserted_uses, '{}');
      inserted_attempts := coalesce(inserted_attempts, '{}');
      return next;
    end $$`.execute(db);
}
