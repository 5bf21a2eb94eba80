import type { Signer } from '@remit/capability';
import type { CheckResponse, Reason, Rev, RevocationKind } from '@remit/contracts';
import { IssuerError } from '../error.ts';
import type { SigningAlgorithm } from '../token-keys.ts';
import type { NextActor } from './actor-token.ts';
import type { Session } from './session.ts';
import { type HeldToken, jktOf, subjectsOf } from './subject-token.ts';

type Revoked = NonNullable<CheckResponse['revoked']>;

/** What an exchange is about to use. */
export type Used = {
  /** What the new token is to be signed with. */
  readonly algorithm: SigningAlgorithm;
  /** The key that a first token is to be bound to. */
  readonly jkt?: string | undefined;
  readonly held?: HeldToken;
  readonly nextActor?: NextActor;
};

/** The head, which becomes `rev`, and the key that it says nothing against. */
export type Head = { readonly rev: Rev; readonly signer: Signer };

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
 * client's or one to bind to, and when the presented token is, by itself or by anything that it names
 * or descends from. A signing key that is revoked is never used again: the tenant's next one for the
 * algorithm is taken, where there is one.
 * Throws IssuerError; a service that does not answer is a refusal too.
 */
export async function readHead(session: Session, used: Used): Promise<Head> {
  const { deps, tenant, client } = session;
  const { algorithm, jkt, held, nextActor } = used;
  const keys = [jkt, nextActor?.keyThumbprint, nextActor?.jkt].filter((key) => key !== undefined);
  for (;;) {
    // Ends: each round takes a key away, and without one this throws.
    const signer = deps.tokenKeys.signer(tenant, algorithm);
    const { head, revoked } = await deps.services.check(tenant, {
      tokens: held === undefined ? [] : [subjectsOf(held)],
      tasks: [],
      keys: [...new Set([client.keyThumbprint, signer.kid, ...keys])],
    });
    if (revoked?.kind === 'key') deps.tokenKeys.distrust(tenant, revoked.id);
    if (revoked === undefined) return { rev: head, signer };
    const own = revoked.kind === 'key' && revoked.id === signer.kid && held?.kid !== signer.kid;
    if (!own) throw refusal(session, used, { head, revoked });
  }
}

function refusal(
  { client }: Session,
  { held, nextActor }: Used,
  { head, revoked }: { head: Rev; revoked: Revoked },
): IssuerError {
  const { kind, id } = revoked;
  const reason = 'key_revoked';
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
