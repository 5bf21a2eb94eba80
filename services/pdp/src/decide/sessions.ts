import type { Clock, Database, Logger } from '@remit/service-kit';
import type { SessionFacts } from '../cedar/call-facts.ts';
import { PdpError } from '../errors.ts';
import { countCall, countDenial, forgetSessions, MAX_SEEN } from '../store/sessions.ts';
import type { PdpTables } from '../store/tables.ts';

type Call = { tenant: string; task: string; tool: string; action: string; volume: number };

/** What tasks have asked of the pdp, over all its replicas. */
export type Sessions = {
  /**
   * Counts a call and returns what its task did so far. Rejects when the database does not answer, or
   * with PdpError `POLICY_ERROR` when the task saw more tools or actions than are kept: what a
   * guardrail would not see must not be decided on.
   */
  count: (call: Call) => Promise<SessionFacts>;
  /** Counts that it was refused. */
  denied: (call: Pick<Call, 'tenant' | 'task'>) => Promise<void>;
  start: () => void;
  stop: () => void;
};

const FORGET_EVERY_MS = 60_000;

export function createSessions(options: {
  database: Database<PdpTables>;
  clock: Clock;
  log: Logger;
}): Sessions {
  const { database, clock, log } = options;
  let timer: NodeJS.Timeout | undefined;
  const forget = () =>
    database
      .withSystem((trx) => forgetSessions(trx, clock.now()))
      .catch((error: unknown) => log.warn({ err: error }, 'old sessions are not forgotten yet'));
  return {
    async count(call) {
      const nowMs = clock.now();
      const session = await database.withTenant(call.tenant, (trx) =>
        countCall(trx, { ...call, nowMs }),
      );
      if (session.tools.length > MAX_SEEN || session.actions.length > MAX_SEEN)
        throw new PdpError('POLICY_ERROR', 'a task saw more than a session holds');
      return session;
    },
    denied: ({ tenant, task }) =>
      database.withTenant(tenant, (trx) => countDenial(trx, { tenant, task, nowMs: clock.now() })),
    start: () => {
      timer ??= setInterval(() => void forget(), FORGET_EVERY_MS);
    },
    stop: () => clearInterval(timer),
  };
}
