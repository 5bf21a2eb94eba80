import type { Reason, RevocationKind, RevokeRequest, RevokeResponse } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import { type Database, type Logger, wireError } from '@remit/service-kit';
import { isTaskOf } from '../store/registrations.ts';
import type { Tables } from '../store/tables.ts';
import type { Journal } from './journal.ts';

export type Revoker = {
  /**
   * Revokes and records who did. Answers when the revocation is committed. A record that can't be
   * kept doesn't undo it: what is revoked stays so, and the failure is logged.
   */
  revoke(tenant: string, request: RevokeRequest): Promise<RevokeResponse>;
  /** Records that somebody was refused. */
  refused(tenant: string, request: RevokeRequest): Promise<void>;
  /** Records a revocation that another service's event caused. */
  recorded(tenant: string, request: RevokeRequest): Promise<void>;
  /** Whether a task was launched by this user, as far as its registered tokens show. */
  owns(tenant: string, user: string, task: string): Promise<boolean>;
};

const REASONS: Readonly<Record<RevocationKind, Reason>> = {
  token: 'token_revoked',
  link: 'token_revoked',
  task: 'task_revoked',
  agent: 'agent_revoked',
  user: 'user_revoked',
  client: 'client_revoked',
  tenant: 'tenant_revoked',
  key: 'key_revoked',
};

export function createRevoker(options: {
  database: Database<Tables>;
  journal: Journal;
  recorder: Pick<Recorder, 'record'>;
  log: Logger;
  onRevoked?: (kind: RevocationKind) => void;
}): Revoker {
  const { database, journal, recorder, log, onRevoked } = options;

  async function record(
    tenant: string,
    { kind, id, by, reason }: RevokeRequest,
    outcome: {
      event: 'token.revoked' | 'admin.refused';
      reason: Reason;
      seq?: number;
      epoch?: string;
    },
  ): Promise<void> {
    const personal = kind === 'user';
    try {
      await recorder.record(tenant, {
        event: outcome.event,
        decision: outcome.event === 'token.revoked' ? 'allow' : 'deny',
        reason: outcome.reason,
        ...(by.kind === 'user' ? { principal: by.id } : { actor: by.id }),
        operation: {
          action: 'revocation.revoke',
          // An id of a person is personal and goes into the arguments, which are commitments.
          resource: personal ? 'remit/user' : `remit/${kind}/${id}`,
          args: { ...(personal ? { id } : {}), ...(reason ? { reason } : {}) },
        },
        ...(outcome.seq === undefined
          ? {}
          : { feed: { epoch: outcome.epoch ?? '', seq: outcome.seq } }),
        detail: { kind, by: by.kind },
      });
    } catch (error) {
      log.error({ err: error, tenant, kind, event: outcome.event }, 'a record could not be kept');
    }
  }

  return {
    revoke: async (tenant, request) => {
      if (request.kind === 'tenant' && request.id !== tenant) throw wireError('INVALID_REQUEST');
      const answer = await database.withTenant(tenant, (trx) =>
        journal.revoke(trx, tenant, request),
      );
      onRevoked?.(request.kind);
      const { epoch, seq } = answer;
      const reason = REASONS[request.kind];
      await record(tenant, request, { event: 'token.revoked', reason, epoch, seq });
      return answer;
    },
    refused: (tenant, request) =>
      record(tenant, request, { event: 'admin.refused', reason: 'person_not_allowed' }),
    recorded: async (tenant, request) => {
      onRevoked?.(request.kind);
      await record(tenant, request, { event: 'token.revoked', reason: REASONS[request.kind] });
    },
    owns: (tenant, user, task) =>
      database.withTenant(tenant, (trx) => isTaskOf(trx, tenant, task, user), { readOnly: true }),
  };
}
