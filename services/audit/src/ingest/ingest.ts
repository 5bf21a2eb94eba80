import type { Database, Logger, Metrics } from '@remit/service-kit';
import { type Appended, appendBatch, enterTenant } from '../store/append.ts';
import { keepRefused, NO_TENANT } from '../store/quarantine.ts';
import type { AuditTables } from '../store/tables.ts';
import {
  type Admitted,
  admit,
  isRefused,
  type OpenValue,
  type RawMessage,
  type Refused,
} from './admit.ts';
import type { ValuePolicy } from './value-policy.ts';

/** A producer whose records of a boot were handled, so that it wants to know what is committed. */
export type Touched = { readonly tenant: string; readonly producer: string; readonly boot: string };

export type IngestOptions = {
  database: Database<AuditTables>;
  log: Logger;
  metrics: Metrics;
  /** What tenants keep of personal values. Default: everything. */
  policy?: ValuePolicy;
  /** Told after the transaction of a batch has committed, before the batch is acknowledged. */
  onCommitted: (appended: readonly Appended[], touched: readonly Touched[]) => Promise<void> | void;
};

type Part = { admitted: Admitted[]; refused: Refused[] };

/**
 * Makes the handler of the durable `ingest`. One transaction per batch: each tenant is entered once,
 * in the order of their names. Resolves after the commit; throws when nothing was committed, and the
 * batch comes again. A message that PostgreSQL can't hold is found by handling each alone, and is
 * quarantined, so that it never holds up the others.
 */
export function createIngest(
  options: IngestOptions,
): (messages: readonly RawMessage[]) => Promise<void> {
  const { database, log, metrics, onCommitted, policy } = options;
  const count = ingestMetrics(metrics);

  async function write(outcomes: readonly (Admitted | Refused)[]): Promise<void> {
    const started = performance.now();
    const parts = byTenant(outcomes);
    const homeless = outcomes.filter(isRefused).filter(({ tenant }) => tenant === undefined);
    if (homeless.length > 0) {
      await database.withSystem(async (trx) => {
        for (const refusal of homeless) await keepRefused(trx, NO_TENANT, refusal);
      });
    }
    const tenants = [...parts.keys()].toSorted();
    const [first] = tenants;
    const appended: Appended[] = [];
    if (first !== undefined) {
      await database.withTenant(first, async (trx) => {
        appended.length = 0;
        for (const tenant of tenants) {
          const { admitted, refused } = parts.get(tenant) as Part;
          await enterTenant(trx, tenant);
          appended.push(await appendBatch(trx, tenant, admitted, refused));
        }
      });
    }
    count.batchSeconds.observe((performance.now() - started) / 1_000);
    report(appended, outcomes.filter(isRefused));
    await onCommitted(appended, touchedBy(outcomes));
  }

  function report(appended: readonly Appended[], refused: readonly Refused[]): void {
    for (const { tenant, records, duplicates, conflicts, reused } of appended) {
      for (const { record } of records) count.records.add({ event: record.event });
      if (duplicates > 0) count.duplicates.add({}, duplicates);
      for (const { producer, record } of conflicts) {
        count.conflicts.add();
        const fields = { alarm: 'conflict', tenant, producer, record: record.id };
        log.error(fields, 'a record came again with other content; both are kept');
      }
      for (const number of reused) {
        count.reused.add();
        const fields = { alarm: 'number', tenant, ...number };
        log.error(fields, 'a producer gave one number to two records; both are kept');
      }
    }
    for (const { tenant, reason, message } of refused) {
      count.quarantined.add({ reason });
      const fields = { alarm: 'quarantine', tenant, reason, subject: message.subject };
      log.error(fields, 'a message is no record of its sender; it is quarantined');
    }
  }

  return async (messages) => {
    const outcomes = messages.map(admit).map((each) => (isRefused(each) ? each : lean(each)));
    try {
      await write(outcomes);
    } catch (error) {
      if (!isDataError(error)) throw error;
      for (const outcome of outcomes) await writeAlone(outcome);
    }
  };

  /** A record with those of its values that its tenant keeps. */
  function lean(admitted: Admitted): Admitted {
    if (policy === undefined) return admitted;
    const disclosures = admitted.disclosures.flatMap((open): OpenValue[] => {
      const treatment = policy(admitted.tenant, open.pointer);
      if (treatment === 'drop') return [];
      return [treatment === 'keep' ? open : { ...open, value: null }];
    });
    return { ...admitted, disclosures };
  }

  async function writeAlone(outcome: Admitted | Refused): Promise<void> {
    try {
      await write([outcome]);
    } catch (error) {
      if (!isDataError(error) || isRefused(outcome)) throw error;
      const { tenant, producer, record, message } = outcome;
      const number = { producer, boot: record.producer.boot, n: record.producer.n };
      await write([{ tenant, reason: 'STORE_REFUSED', message, number }]);
    }
  }
}

/**
 * PostgreSQL says that the values themselves can't be stored (class 22, 54). A broken constraint is
 * none of it: that is a ledger that was changed behind our back, and nothing may be given up for it.
 */
function isDataError(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && /^(22|54)[0-9A-Z]{3}$/.test(code);
}

function byTenant(outcomes: readonly (Admitted | Refused)[]): Map<string, Part> {
  const parts = new Map<string, Part>();
  for (const outcome of outcomes) {
    if (outcome.tenant === undefined) continue;
    let part = parts.get(outcome.tenant);
    if (part === undefined) {
      part = { admitted: [], refused: [] };
      parts.set(outcome.tenant, part);
    }
    if (isRefused(outcome)) part.refused.push(outcome);
    else part.admitted.push(outcome);
  }
  return parts;
}

function touchedBy(outcomes: readonly (Admitted | Refused)[]): Touched[] {
  return outcomes.flatMap((outcome): Touched[] => {
    if (!isRefused(outcome)) {
      const { tenant, producer, record } = outcome;
      return [{ tenant, producer, boot: record.producer.boot }];
    }
    const { tenant, number } = outcome;
    if (tenant === undefined || number === undefined) return [];
    return [{ tenant, producer: number.producer, boot: number.boot }];
  });
}

function ingestMetrics(metrics: Metrics) {
  return {
    records: metrics.counter('remit_audit_records_total', 'Records added to the ledger, by event.'),
    duplicates: metrics.counter(
      'remit_audit_duplicates_total',
      'Records that came again and were there already.',
    ),
    conflicts: metrics.counter(
      'remit_audit_conflicts_total',
      'Records that came again under their id with other content.',
    ),
    reused: metrics.counter(
      'remit_audit_numbers_reused_total',
      'Numbers that a producer gave to more than one record.',
    ),
    quarantined: metrics.counter(
      'remit_audit_quarantined_total',
      'Messages that are no record of their sender, by reason.',
    ),
    batchSeconds: metrics.histogram('remit_audit_batch_seconds', 'Time to commit one batch.'),
  };
}
