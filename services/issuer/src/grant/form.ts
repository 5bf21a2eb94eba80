import { closed } from '@remit/contracts';
import { type Static, Type } from 'typebox';
import { clientAuthParameters, formValue } from '../client-auth/form.ts';
import { IssuerError } from '../error.ts';

const value = formValue;
const values = Type.Optional(Type.Array(Type.String({ maxLength: 2_048 }), { maxItems: 16 }));

/** Parameters that RFC 8693 and RFC 8707 let a client repeat; they come as lists. */
export const REPEATABLE = ['audience', 'resource'] as const;

/**
 * Every parameter of a token request (RFC 6749, 7521, 8693, 8707, 9396). Closed, against RFC 6749
 * section 3.2: a parameter that would be ignored could be a restriction that its sender relies on.
 */
export const tokenForm = closed({
  actor_token: value,
  actor_token_type: value,
  audience: values,
  authorization_details: value,
  ...clientAuthParameters,
  grant_type: value,
  requested_token_type: value,
  resource: values,
  scope: value,
  subject_token: value,
  subject_token_type: value,
});
export type TokenForm = Static<typeof tokenForm>;

/**
 * A request about one token (RFC 7662 section 2.1, RFC 7009 section 2.1). The hint is not needed: there
 * is one kind of token.
 */
export const tokenStateForm = closed({
  ...clientAuthParameters,
  token: Type.String({ minLength: 1, maxLength: 65_536 }),
  token_type_hint: value,
});
export type TokenStateForm = Static<typeof tokenStateForm>;

type Single = Exclude<keyof TokenForm, (typeof REPEATABLE)[number]>;

/** A parameter that the request must have. Throws IssuerError `REQUEST_INVALID`. */
export function required(form: TokenForm, name: Single): string {
  const found = form[name];
  if (found === undefined) throw invalidRequest(`${name} is missing.`);
  return found;
}

/**
 * The one target of a token (RFC 8707 section 2): an absolute URI without fragment, compared byte for
 * byte and never rewritten. Does not check that the registry knows it.
 * Throws IssuerError `TARGET_INVALID` (`invalid_target`).
 */
export function requiredResource(form: TokenForm): string {
  const resource = optionalResource(form);
  if (resource === undefined) throw invalidTarget('A token has one resource.');
  return resource;
}

/** As {@link requiredResource}, where a target may be left out. */
export function optionalResource(form: TokenForm): string | undefined {
  if (form.audience !== undefined) throw invalidTarget('Name the target with resource.');
  if (form.resource === undefined) return undefined;
  const [resource, ...more] = form.resource;
  if (resource === undefined || more.length > 0) throw invalidTarget('A token has one resource.');
  if (!URL.canParse(resource) || resource.includes('#')) {
    throw invalidTarget('resource is not an absolute URI without fragment.');
  }
  return resource;
}

/** Checks that a target, where one is named, is the one that it has to be. Throws `TARGET_INVALID`. */
export function checkTarget(resource: string | undefined, audience: string): void {
  if (resource === undefined || resource === audience) return;
  throw invalidTarget('A delegated token has the audience of its parent.');
}

export function invalidRequest(message: string): IssuerError {
  return new IssuerError('REQUEST_INVALID', message, { reason: 'request_malformed' });
}

export function invalidTarget(message: string): IssuerError {
  return new IssuerError('TARGET_INVALID', message, { reason: 'target_unknown' });
}
