import { type Permission, type Scope, ScopeError, scope } from '../scope/index.ts';
import { list, malformed } from './claims.ts';
import { isRecord } from './jws.ts';

/** The one type of `authorization_details` that this version knows (RFC 9396 section 2). */
export const CAPABILITY_TYPE = 'urn:remit:capability:1';

export type AuthorizationDetail = Permission & { readonly type: typeof CAPABILITY_TYPE };

/** A scope as it stands in a token: one RFC 9396 object per permission. */
export function toAuthorizationDetails(from: Scope): readonly AuthorizationDetail[] {
  return from.permissions.map((permission) => ({ type: CAPABILITY_TYPE, ...permission }));
}

/**
 * Reads `authorization_details` as a scope. An object of another type, or with a member that the type
 * doesn't have, refuses the whole list: what isn't understood might restrict (RFC 9396 section 5).
 * Throws TokenError TOKEN_MALFORMED.
 */
export function fromAuthorizationDetails(value: unknown, claim = 'authorization_details'): Scope {
  const permissions = list(value, claim, 64).map((detail) => {
    if (!isRecord(detail) || detail['type'] !== CAPABILITY_TYPE) {
      throw malformed(claim, 'a type that is not known');
    }
    const { type: _, ...permission } = detail;
    return permission;
  });
  return readScope(permissions, claim);
}

export function readScope(value: unknown, claim: string): Scope {
  try {
    return scope(value);
  } catch (cause) {
    if (!(cause instanceof ScopeError)) throw cause;
    throw malformed(claim, cause.message, cause);
  }
}
