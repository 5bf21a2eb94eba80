import type { ConsumeResponse, Rev } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import type { Database, Logger } from '@remit/service-kit';
import type { Tables } from '../store/tables.ts';
import { createBatches, isDataError } from './batches.ts';
import { type Consumed, type Consumption, consumeTogether } from './consume.ts';

export type Consumer = {
  /**
   * Consumes a single use and answers when that is committed. The record follows the answer: one that
   * can't be kept gives no use back, and the failure is logged.
   */
  consume(tenant: string, asked: Consumption): Promise<ConsumeResponse>;
};

/** Consumptions in one transaction at most. */
const MAX_BATCH = 64;

export function createConsumer(options: {
  database: Database<Tables>;
  recorder: Pick<Recorder, 'record'>;
  log: Logger;
  retentionSeconds: number;
  onConsumed?: (outcome: ConsumeResponse['outcome'] | 'refused') => void;
  onBatch?: (items: number) => void;
}): Consumer {
  const { database, recorder, log, retentionSeconds, onConsumed, onBatch } = options;
  const batched = createBatches<Consumption, Consumed>({
    run: (tenant, asked) => consumeTogether(database, tenant, asked, { retentionSeconds }),
    isApart: isDataError,
    maxItems: MAX_BATCH,
    ...(onBatch ? { onRun: onBatch } : {}),
  });

  async function record(tenant: string, asked: Consumption, head: Rev): Promise<void> {
    const { use_id, attempt, pep, audience, token } = asked;
    try {
      await recorder.record(tenant, {
        event: 'token.consumed',
        decision: 'allow',
        reason: 'permitted',
        principal: token.user,
        actor: token.actors.at(-1),
        act_chain: [...token.actors],
        origin_agent: token.actors[0],
        client: token.client,
        task: { id: token.task, type: token.task_type },
        operation: { action: 'revocation.consume', resource: `remit/use/${use_id}` },
        audience,
        token: { jti: token.jti, lineage: [...token.lineage], exp: token.exp, rev: token.rev },
        feed: head,
        detail: { use_id, attempt, pep },
      });
    } catch (error) {
      log.error({ err: error, tenant, use_id }, 'the record of a consumption could not be kept');
    }
  }

  return {
    consume: async (tenant, asked) => {
      const result = await batched(tenant, asked);
      if ('refused' in result) {
        onConsumed?.('refused');
        throw result.refused;
      }
      onConsumed?.(result.answer.outcome);
      if (result.fresh) void record(tenant, asked, result.head);
      return result.answer;
    },
  };
}
