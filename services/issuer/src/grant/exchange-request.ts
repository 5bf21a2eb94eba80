import { IssuerError } from '../error.ts';
import { parseDetails, type RequestedTask } from './details.ts';
import { invalidRequest, required, requiredResource, type TokenForm } from './form.ts';
import { GRANT_TYPES, TOKEN_TYPES } from './names.ts';

/** A token exchange that starts a task. */
export type LaunchRequest = {
  readonly kind: 'launch';
  readonly idToken: string;
  readonly resource: string;
  readonly task: RequestedTask;
};

/** What a token exchange can be. Renewal and delegation, whose subject is an access token, go here. */
export type ExchangeRequest = LaunchRequest;

/** A reader per `subject_token_type`: what is presented says what is asked for. */
const READERS: Readonly<Record<string, (form: TokenForm) => ExchangeRequest>> = Object.freeze(
  Object.assign(Object.create(null) as Record<string, (form: TokenForm) => ExchangeRequest>, {
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
