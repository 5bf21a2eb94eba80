import type { Signer } from '@remit/bus';
import {
  makeCloudEvent,
  type RevocationKind,
  type RevokeRequest,
  type RevokeResponse,
  SIGNED,
  subjects,
} from '@remit/contracts';
import type { Outbox } from '@remit/service-kit';
import { readPoint, takeSeq } from '../store/point.ts';
import { insertRevocation, recentRevocation, toEntry } from '../store/revocations.ts';
import type { Tables, Trx } from '../store/tables.ts';
import { endOf } from './lifetimes.ts';

/** Writes a tenant's log: sequence, row and signed event in one transaction. */
export type Journal = {
  /** Revokes; a token, link, task or key that was just revoked is not written twice. */
  revoke(trx: Trx, tenant: string, request: RevokeRequest): Promise<RevokeResponse>;
  /** From this sequence on, PEPs ask the PDP for every call of a token decided before. */
  recheck(
    trx: Trx,
    tenant: string,
    by: RevokeRequest['by'],
    reason: string,
  ): Promise<RevokeResponse>;
};

/** An entry as young as this still covers whatever a second one would. */
const SAME_SECONDS = 60;
const FOR_EVER: ReadonlySet<RevocationKind> = new Set(['token', 'link', 'task', 'key']);

export function createJournal(options: { outbox: Outbox<Tables>; signer: Signer }): Journal {
  const { outbox, signer } = options;

  async function append(
    trx: Trx,
    tenant: string,
    what: Pick<Tables['revocation'], 'verb' | 'kind' | 'id' | 'by_kind' | 'by_id' | 'reason'>,
  ): Promise<RevokeResponse> {
    const seq = await takeSeq(trx, tenant);
    // After the lock, so that times never run against sequences.
    const { epoch, timeMs } = await readPoint(trx, tenant);
    const at = Math.floor(timeMs / 1_000);
    const ends = what.kind === 'key' ? null : endOf(at);
    const row = { tenant, seq, at, ends, ...what };
    await insertRevocation(trx, row);
    const { verb, kind, id } = what;
    const name = verb === 'revoke' ? 'revocation.revoked' : 'revocation.recheck';
    await outbox.enqueue(trx, {
      tenant,
      subject: subjects.revocation(tenant),
      payload: (_, messageId) => {
        const event = makeCloudEvent(
          name,
          {
            id: messageId,
            source: 'revocation',
            time: new Date(timeMs).toISOString(),
            subject: tenant,
          },
          toEntry({ seq, verb, kind, id, at, ends }, epoch),
        );
        return signer.sign(SIGNED.revocation, JSON.stringify(event));
      },
    });
    return { epoch, seq, time: timeMs };
  }

  return {
    revoke: async (trx, tenant, { kind, id, by, reason }) => {
      if (FOR_EVER.has(kind)) {
        const { epoch, timeMs } = await readPoint(trx, tenant);
        const since = Math.floor(timeMs / 1_000) - SAME_SECONDS;
        const known = await recentRevocation(trx, tenant, { kind, id }, since);
        if (known) return { epoch, seq: known.seq, time: known.at * 1_000 };
      }
      return append(trx, tenant, {
        verb: 'revoke',
        kind,
        id,
        by_kind: by.kind,
        by_id: by.id,
        reason: reason ?? null,
      });
    },
    recheck: (trx, tenant, by, reason) =>
      append(trx, tenant, {
        verb: 'recheck',
        kind: 'tenant',
        id: tenant,
        by_kind: by.kind,
        by_id: by.id,
        reason,
      }),
  };
}
