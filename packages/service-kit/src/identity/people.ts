import { parseJsonStrict, type TrustFile } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import type { FastifyRequest } from 'fastify';
import { ServiceError, WireError, wireError } from '../errors.ts';
import type { Directory } from './directory.ts';
import type { IdpKeys } from './idp-keys.ts';

/** What a group of the registry may make of a person. */
export type AdminRole = 'remit-admin' | 'remit-auditor';

/** Somebody who signed in at the tenant's identity provider and is active in its registry. */
export type Person = { readonly id: string; readonly roles: readonly AdminRole[] };

export type PeopleAuth = {
  /**
   * The person behind a request. With `role`, one of these roles is needed; without, any active user
   * passes and the route must decide what is theirs.
   * Throws WireError `UNAUTHENTICATED` (401), `FORBIDDEN` (403), `TENANT_UNKNOWN`, `UNAVAILABLE`.
   */
  require: (
    request: FastifyRequest,
    options: { tenant: string; role?: AdminRole | readonly AdminRole[] },
  ) => Promise<Person>;
};

export type PeopleAuthOptions = {
  directory: Directory;
  keys: IdpKeys;
  /** This service for a tenant: `<publicUrl>/t/<tenant>`. A token's `aud` must be this one string. */
  audience: (tenant: string) => string;
  /** Told of every request that nobody stands behind. */
  onStranger: (tenant: string, source: string) => void;
};

const ROLES: readonly AdminRole[] = ['remit-admin', 'remit-auditor'];

/**
 * Authenticates people on admin, revoke and query routes: an access token (`at+jwt`, RFC 9068) of an
 * identity provider that the tenant's registry names, whose only audience is this service. The
 * registry maps (iss, sub) to a user and the user's groups to roles; both are read for this request.
 * A capability token is refused: its issuer is no identity provider of the tenant, and so is a token
 * bound to a key (`cnf`), since no proof is checked here.
 */
export function createPeopleAuth(options: PeopleAuthOptions): PeopleAuth {
  const { directory, keys, audience, onStranger } = options;
  const authenticate: PeopleAuth['require'] = async (request, { tenant, role }) => {
    const token = bearerToken(request);
    const claimed = peek(token);
    const found = await directory.lookup(tenant, { actors: [], user: claimed });
    const body = await directory.body(tenant, found.tenant.body, 'tenant');
    if (!body.idps.some(({ issuer }) => issuer === claimed.iss)) {
      throw unauthenticated('The token is not from an identity provider of this tenant.');
    }
    const { claims } = await verified(keys, token, claimed.iss);
    if (claims.aud !== audience(tenant)) {
      throw unauthenticated('The token was issued for another audience.');
    }
    if (claims.cnf !== undefined) throw unauthenticated('A key-bound token is not accepted here.');
    // The look-up went by what the token claimed; it stands only now that the signature does.
    if (claims.iss !== claimed.iss || claims.sub !== claimed.sub) throw unauthenticated();
    // FORBIDDEN leaves a record of its own, so nobody is told it who was not verified.
    if (found.tenant.status !== 'active') throw wireError('FORBIDDEN');
    if (found.user?.status !== 'active') throw wireError('FORBIDDEN');
    const user = await directory.body(tenant, found.user.body, 'user');
    const roles = ROLES.filter((name) =>
      (body.admin_groups[name] ?? []).some((group) => user.groups.includes(group)),
    );
    const needed = role === undefined ? undefined : [role].flat();
    if (needed && !needed.some((name) => roles.includes(name))) {
      throw wireError('FORBIDDEN');
    }
    return { id: user.id, roles };
  };
  return {
    require: async (request, wanted) => {
      try {
        return await authenticate(request, wanted);
      } catch (error) {
        const code = error instanceof WireError ? error.code : undefined;
        if (code === 'UNAUTHENTICATED') onStranger(wanted.tenant, request.ip);
        throw error;
      }
    },
  };
}

/**
 * Counts who asks a people's route without being anybody, for the ledger of a tenant that there is: a
 * stranger must not be able to begin ledgers under names of their own.
 */
export function strangerCounter(
  recorder: Pick<Recorder, 'countStranger'>,
  trust: TrustFile,
): PeopleAuthOptions['onStranger'] {
  return (tenant, source) => {
    if (!Object.hasOwn(trust.tenants, tenant)) return;
    recorder.countStranger(tenant, {
      event: 'admin.refused',
      source,
      reason: 'person_unauthenticated',
    });
  };
}

/** RFC 6750 section 3: a challenge, with an error only when a token was presented. */
function unauthenticated(detail?: string): WireError {
  const challenge = detail === undefined ? 'Bearer' : 'Bearer error="invalid_token"';
  return wireError('UNAUTHENTICATED', {
    ...(detail === undefined ? {} : { detail }),
    headers: { 'www-authenticate': challenge },
  });
}

function bearerToken(request: FastifyRequest): string {
  const { authorization } = request.headers;
  if (authorization === undefined) throw unauthenticated();
  // Node drops a second authorization header in silence; a proxy may have read that one.
  const { rawHeaders } = request.raw;
  const given = rawHeaders.filter(
    (name, i) => i % 2 === 0 && name.toLowerCase() === 'authorization',
  );
  const match = /^Bearer ([A-Za-z0-9._~+/=-]{1,16384})$/i.exec(authorization);
  if (given.length !== 1 || !match?.[1]) {
    throw unauthenticated('The authorization header is not one bearer token.');
  }
  return match[1];
}

/** Issuer and subject as the token claims them, to know whom to look up. Nothing is believed yet. */
function peek(token: string): { iss: string; sub: string } {
  const segment = token.split('.')[1] ?? '';
  try {
    const claims = parseJsonStrict(Buffer.from(segment, 'base64url').toString('utf8'), {
      maxDepth: 8,
    });
    const { iss, sub } = claims as { iss?: unknown; sub?: unknown };
    if (typeof iss === 'string' && typeof sub === 'string' && fits(iss, 2_048) && fits(sub, 512)) {
      return { iss, sub };
    }
  } catch {
    // said below
  }
  throw unauthenticated('The token is not readable.');
}

function fits(text: string, maxLength: number): boolean {
  return text.length > 0 && text.length <= maxLength;
}

async function verified(keys: IdpKeys, token: string, issuer: string) {
  try {
    return await keys.verify(token, { issuer, types: ['at+jwt'] });
  } catch (cause) {
    if (cause instanceof ServiceError && cause.code === 'IDP_UNAVAILABLE') {
      throw wireError('UNAVAILABLE', { cause });
    }
    throw wireError('UNAUTHENTICATED', {
      detail: 'The token does not verify.',
      cause,
      headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
    });
  }
}
