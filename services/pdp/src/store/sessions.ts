import { sql, type Transaction } from 'kysely';
import type { SessionFacts } from '../cedar/call-facts.ts';
import type { PdpTables } from './tables.ts';

type Trx = Transaction<PdpTables>;

export type Counted = {
  tenant: string;
  task: string;
  tool: string;
  action: string;
  volume: number;
  nowMs: number;
};

/** Tools, and actions, that one task may have seen; more of them refuse its calls. */
export const MAX_SEEN = 64;
const RECENT_MINUTES = 5;
const MINUTE_MS = 60_000;

/**
 * Counts a call of a task and returns what the task did so far with it. Counted before it is decided,
 * in one statement each, so that calls at the same moment never see the same count.
 */
export async function countCall(trx: Trx, call: Counted): Promise<SessionFacts> {
  const { tenant, task, tool, action, volume, nowMs } = call;
  const minute = Math.floor(nowMs / MINUTE_MS);
  const { rows } = await sql<Omit<SessionFacts, 'recent'>>`
    insert into task_sessions as kept
      (tenant, task, calls, denials, volume, tools, actions, seen_at)
    values (${tenant}, ${task}, 1, 0, ${volume}, array[${tool}], array[${action}],
      to_timestamp(${nowMs / 1_000}))
    on conflict (tenant, task) do update set
      calls = kept.calls + 1,
      volume = least(kept.volume + excluded.volume, ${Number.MAX_SAFE_INTEGER}),
      tools = ${joined('tools')},
      actions = ${joined('actions')},
      seen_at = excluded.seen_at
    returning calls, denials, volume, tools, actions`.execute(trx);
  await sql`
    insert into task_minutes as kept (tenant, task, minute, calls, denials, volume)
    values (${tenant}, ${task}, ${minute}, 1, 0, ${volume})
    on conflict (tenant, task, minute) do update set
      calls = kept.calls + 1,
      volume = least(kept.volume + excluded.volume, ${Number.MAX_SAFE_INTEGER})`.execute(trx);
  const recent = await sql<SessionFacts['recent']>`
    select sum(calls)::bigint as calls, sum(denials)::bigint as denials,
      least(sum(volume), ${Number.MAX_SAFE_INTEGER})::bigint as volume
    from task_minutes
    where tenant = ${tenant} and task = ${task} and minute > ${minute - RECENT_MINUTES}`.execute(
    trx,
  );
  const [whole] = rows;
  const [minutes] = recent.rows;
  if (!whole || !minutes) throw new Error('a call could not be counted');
  return { ...whole, recent: minutes };
}

/** One more than is looked at is kept, to tell that there were more. */
function joined(column: 'tools' | 'actions') {
  const kept = sql.ref(`kept.${column}`);
  const one = sql`${sql.ref(`excluded.${column}`)}[1]`;
  return sql`case when ${one} = any(${kept}) or cardinality(${kept}) > ${sql.lit(MAX_SEEN)}
    then ${kept} else ${kept} || ${one} end`;
}

/** Counts that a counted call was refused. */
export async function countDenial(
  trx: Trx,
  { tenant, task, nowMs }: Pick<Counted, 'tenant' | 'task' | 'nowMs'>,
): Promise<void> {
  await sql`update task_sessions set denials = denials + 1
    where tenant = ${tenant} and task = ${task}`.execute(trx);
  await sql`update task_minutes set denials = denials + 1
    where tenant = ${tenant} and task = ${task}
      and minute = ${Math.floor(nowMs / MINUTE_MS)}`.execute(trx);
}

/** A task lives a day at most; what nobody asked about for longer is not needed. */
const KEPT_HOURS = 25;

/** Forgets what is over, of all tenants. Returns how many tasks. */
export async function forgetSessions(trx: Trx, nowMs: number): Promise<number> {
  const before = nowMs - KEPT_HOURS * 60 * MINUTE_MS;
  await sql`delete from task_minutes
    where minute < ${Math.floor(nowMs / MINUTE_MS) - RECENT_MINUTES}`.execute(trx);
  const gone = await sql`delete from task_sessions
    where seen_at < to_timestamp(${before / 1_000})`.execute(trx);
  return Number(gone.numAffectedRows ?? 0);
}
