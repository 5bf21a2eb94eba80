import type { Signer } from '@remit/capability';
import type { CheckResponse, Reason, Rev, RevocationKind } from '@remit/contracts';
import { IssuerError } from '../error.ts';
import type { NextActor } from './actor-token.ts';
import type { Session } from './session.ts';
import { type HeldToken, jktOf, subjectsOf } from './subject-token.ts';

type Revoked = NonNullable<CheckResponse['revoked']>;

/** What an exchange is about to use. */
export type Used = {
  readonly signer: Pick<Signer, 'kid'>;
  /** The key that a first token is to be bound to. */
  readonly jkt?: string | undefined;
  readonly held?: HeldToken;
  readonly nextActor?: NextActor;
};

const REASONS: Readonly<Record<RevocationKind, Reason>> = {
  agent: 'agent_revoked',
  client: 'client_revoked',
  key: 'key_revoked',
  link: 'token_revoked',
  task: 'task_revoked',
  tenant: 'tenant_revoked',
  token: 'token_revoked',
  user: 'user_revoked',
};

/**
 * Reads the head of the tenant's revocations, which becomes `rev` (05, Sequences): everything that is
 * read and decided afterwards is newer than it. Refuses when a key that is used here is revoked, the
 * client's, the issuer's or one to bind to, and when the presented token is, by itself or by anything
 * that it names or descends from.
 * Throws IssuerError; a service that does not answer is a refusal too.
 */
export async function readHead(session: Session, used: Used): Promise<Rev> {
  const { deps, tenant, client } = session;
  const { signer, jkt, held, nextActor } = used;
  const keys = [client.keyThumbprint, signer.kid, jkt, nextActor?.keyThumbprint, nextActor?.jkt];
  const { head, revoked } = await deps.services.check(tenant, {
    tokens: held === undefined ? [] : [subjectsOf(held)],
    tasks: [],
    keys: [...new Set(keys.filter((key) => key !== undefined))],
  });
  if (revoked) throw refusal(session, used, { head, revoked });
  return head;
}

function refusal(
  { client }: Session,
  { signer, held, nextActor }: Used,
  { head, revoked }: { head: Rev; revoked: Revoked },
): IssuerError {
  const { kind, id } = revoked;
  const reason = 'key_revoked';
  if (kind === 'key' && id === signer.kid) {
    return new IssuerError('SIGNING_KEY_UNUSABLE', 'The signing key is revoked.', { reason });
  }
  if (kind === 'key' && id === client.keyThumbprint) {
    return new IssuerError('CLIENT_UNAUTHENTICATED', "The client's key is revoked.", { reason });
  }
  if (kind === 'key' && (id === nextActor?.keyThumbprint || id === nextActor?.jkt)) {
    return new IssuerError('ACTOR_TOKEN_INVALID', 'A key of the next actor is revoked.', {
      reason,
    });
  }
  if (held === undefined || (kind === 'key' && id === jktOf(held.capability))) {
    return new IssuerError('PROOF_INVALID', 'The key of the DPoP proof is revoked.', { reason });
  }
  return new IssuerError('SUBJECT_TOKEN_INVALID', 'The subject token is revoked.', {
    reason: reasonOf(held, head, revoked),
  });
}

/** A token of another epoch, or ahead of the head, is answered as its tenant's (05, Sequences). */
function reasonOf({ capability: { rev } }: HeldToken, head: Rev, revoked: Revoked): Reason {
  if (rev.epoch !== head.epoch) return 'epoch_ended';
  if (revoked.kind === 'tenant' && rev.seq > head.seq) return 'status_behind';
  return revoked.ancestor ? 'ancestor_revoked' : REASONS[revoked.kind];
}
