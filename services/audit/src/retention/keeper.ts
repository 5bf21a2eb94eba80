import type { Recorder } from '@remit/recorder';
import type { Clock, Database, Logger } from '@remit/service-kit';
import { sql } from 'kysely';
import { tenantsWithRecords } from '../store/checkpoints.ts';
import type { AuditTables } from '../store/tables.ts';

export type RetentionKeeper = {
  /** Says of every tenant what may go now. */
  look(): Promise<void>;
  start(): void;
  stop(): void;
};

const DAY_MS = 86_400_000;
const LOOK_MS = 3_600_000;

/**
 * Decides what retention lets go, and says so in the ledger before anything goes: a record
 * `admin.retention` with the last sequence, which every later verification asks for. The deletion is
 * the job of the schema's owner (`retain.ts`).
 */
export function createRetentionKeeper(options: {
  database: Database<AuditTables>;
  recorder: Pick<Recorder, 'record'>;
  clock: Clock;
  log: Logger;
  /** Days for which records are kept; 0: for ever. */
  days: number;
}): RetentionKeeper {
  const { database, recorder, clock, log, days } = options;
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    if (days === 0) return;
    const before = new Date(clock.now() - days * DAY_MS).toISOString();
    const heads = await database.withSystem(tenantsWithRecords, { readOnly: true });
    for (const { tenant } of heads) await decide(tenant, before);
  }

  async function decide(tenant: string, before: string): Promise<void> {
    const upTo = await database.withTenant(
      tenant,
      async (trx) => {
        const { rows } = await sql<{ up_to: number | null }>`
          select max(seq) as up_to from records
          where tenant = ${tenant} and received_at < ${before}::timestamptz
            and seq > (select coalesce(max(up_to), 0) from retentions where tenant = ${tenant})`.execute(
          trx,
        );
        return rows[0]?.up_to ?? undefined;
      },
      { readOnly: true },
    );
    if (upTo === undefined) return;
    const { id } = await recorder.record(tenant, {
      event: 'admin.retention',
      detail: { up_to: upTo, before, days },
    });
    await database.withTenant(tenant, (trx) =>
      trx
        .insertInto('retentions')
        .values({ tenant, up_to: upTo, record_id: id })
        .onConflict((on) => on.columns(['tenant', 'up_to']).doNothing())
        .execute(),
    );
    log.info({ tenant, up_to: upTo }, 'retention may let records go');
  }

  return {
    look,
    start() {
      const quietly = (): void =>
        void look().catch((error: unknown) => {
          log.warn({ err: error }, 'retention could not be decided now');
        });
      if (days === 0) return;
      quietly();
      timer = setInterval(quietly, LOOK_MS);
    },
    stop: () => clearInterval(timer),
  };
}
