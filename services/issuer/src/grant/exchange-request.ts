import type { PermissionJson } from '@remit/contracts';
import { IssuerError } from '../error.ts';
import { parseDetails, parsePermissions, type RequestedTask } from './details.ts';
import {
  invalidRequest,
  optionalResource,
  required,
  requiredResource,
  type TokenForm,
} from './form.ts';
import { GRANT_TYPES, TOKEN_TYPES } from './names.ts';

/** A token exchange that starts a task. */
export type LaunchRequest = {
  readonly kind: 'launch';
  readonly idToken: string;
  readonly resource: string;
  readonly task: RequestedTask;
};

/** A token exchange that hands part of a token to the agent of the actor token. */
export type DelegationRequest = {
  readonly kind: 'delegation';
  readonly token: string;
  readonly actorToken: string;
  /** Where it is named, it must be the audience of the token. */
  readonly resource: string | undefined;
  readonly requested: PermissionJson[];
};

/** A token exchange for another first token of a running task. */
export type RenewalRequest = {
  readonly kind: 'renewal';
  readonly token: string;
  /** Another audience; undefined for that of the token. */
  readonly resource: string | undefined;
  /** Part of the task's ceiling; undefined for all of it. */
  readonly requested: PermissionJson[] | undefined;
};

/** What a token exchange can be. */
export type ExchangeRequest = DelegationRequest | LaunchRequest | RenewalRequest;

/**
 * A reader per `subject_token_type`: what is presented says what is asked for. A further form of
 * token (a transaction token, an SD-JWT VC) is one more entry here and one more kind of request, whose
 * handler opens it as `openHeldToken` does: signature, holder and key before the head is read.
 */
const READERS: Readonly<Record<string, (form: TokenForm) => ExchangeRequest>> = Object.freeze(
  Object.assign(Object.create(null) as Record<string, (form: TokenForm) => ExchangeRequest>, {
    [TOKEN_TYPES.accessToken]: readHeld,
    [TOKEN_TYPES.idToken]: readLaunch,
  }),
);

/**
 * Reads a token exchange request (RFC 8693 section 2.1).
 * Checks: the grant type; no `scope`; `requested_token_type`, where given, is an access token;
 * `subject_token_type` is one that this version takes; an actor token only where it has a meaning.
 * Does not verify the subject token. Throws IssuerError `GRANT_TYPE_UNSUPPORTED`, `REQUEST_INVALID`,
 * `SCOPE_UNSUPPORTED`, `TARGET_INVALID` or `DETAILS_INVALID`.
 */
export function readExchange(form: TokenForm): ExchangeRequest {
  if (required(form, 'grant_type') !== GRANT_TYPES.tokenExchange) {
    throw new IssuerError('GRANT_TYPE_UNSUPPORTED', 'The grant type is not supported.', {
      reason: 'request_malformed',
    });
  }
  if (form.scope !== undefined) {
    throw new IssuerError('SCOPE_UNSUPPORTED', 'Ask with authorization_details, not with scope.', {
      reason: 'request_malformed',
    });
  }
  const { requested_token_type: wanted = TOKEN_TYPES.accessToken } = form;
  if (wanted !== TOKEN_TYPES.accessToken) {
    throw invalidRequest('requested_token_type is not supported.');
  }
  const read = READERS[required(form, 'subject_token_type')];
  if (!read) throw invalidRequest('subject_token_type is not supported.');
  return read(form);
}

/** A launch has no actor token: the client itself is the first actor (02, Launching a task). */
function readLaunch(form: TokenForm): LaunchRequest {
  if (form.actor_token !== undefined || form.actor_token_type !== undefined) {
    throw invalidRequest('actor_token has no meaning beside an ID token.');
  }
  return {
    kind: 'launch',
    idToken: required(form, 'subject_token'),
    resource: requiredResource(form),
    task: parseDetails(required(form, 'authorization_details')),
  };
}

/** An actor token says who is to act next; without one, the holder goes on by itself. */
function readHeld(form: TokenForm): DelegationRequest | RenewalRequest {
  const token = required(form, 'subject_token');
  const resource = optionalResource(form);
  if (form.actor_token === undefined) {
    // RFC 8693 section 2.1: not without an actor token.
    if (form.actor_token_type !== undefined) throw invalidRequest('actor_token is missing.');
    const { authorization_details: details } = form;
    const requested = details === undefined ? undefined : parsePermissions(details);
    return { kind: 'renewal', token, resource, requested };
  }
  if (required(form, 'actor_token_type') !== TOKEN_TYPES.jwt) {
    throw invalidRequest('actor_token_type is not supported.');
  }
  return {
    kind: 'delegation',
    token,
    actorToken: form.actor_token,
    resource,
    requested: parsePermissions(required(form, 'authorization_details')),
  };
}
