import type { AgentBody, TenantBody } from '@remit/contracts';
import { type IdpKeys, type IdpToken, ServiceError } from '@remit/service-kit';
import { decodeJwt } from 'jose';
import { IssuerError } from '../error.ts';

const MAX_AGE_SECONDS = 600;
const SKEW_SECONDS = 30;

/** What a verified ID token says: who signed in, and to which clients of the IdP it was issued. */
export type VerifiedIdToken = {
  readonly iss: string;
  readonly sub: string;
  /** Clients that may be the launcher: `azp`, and `aud` where it is one. */
  readonly issuedTo: readonly string[];
};

/**
 * Verifies the subject token of a launch (OpenID Connect Core section 3.1.3.7, as far as it concerns
 * somebody who is not the client it was issued to).
 * Checks: the issuer is one of the tenant's IdPs, byte for byte, before any key is fetched; an
 * asymmetric signature with a key that this IdP publishes; `exp`; `iat` not ahead, and at most 10
 * minutes ago, for a launch is the user's act of now; `typ`, where present, is `JWT`.
 * Does not check the launcher ({@link checkLauncher}) nor whom the registry knows as (iss, sub).
 * Throws IssuerError `SUBJECT_TOKEN_INVALID` (`invalid_request`, RFC 8693 section 2.2.2), or
 * `SERVICE_UNAVAILABLE` when the IdP's keys cannot be had.
 */
export async function verifyIdToken(
  token: string,
  options: { tenant: TenantBody; keys: IdpKeys; nowSeconds: number },
): Promise<VerifiedIdToken> {
  const { tenant, keys, nowSeconds } = options;
  const issuer = claimedIssuer(token);
  checkIdp(issuer, tenant);
  const { header, claims } = await verifySignature(token, issuer, keys);
  if (header.typ !== undefined && header.typ.toUpperCase() !== 'JWT') {
    throw invalid('The subject token is not an ID token.');
  }
  if (nowSeconds - claims.iat > MAX_AGE_SECONDS) {
    throw invalid('The ID token is older than 10 minutes.');
  }
  return { iss: issuer, sub: claims.sub, issuedTo: recipients(claims.aud, claims.azp) };
}

/** Checks that an issuer is an IdP of the tenant. Throws IssuerError `SUBJECT_TOKEN_INVALID`. */
export function checkIdp(issuer: string, tenant: TenantBody): void {
  if (tenant.idps.some((idp) => idp.issuer === issuer)) return;
  throw invalid('The ID token comes from an unknown issuer.');
}

/**
 * Checks that the ID token was issued to a launcher of this agent (02): an agent that got hold of
 * somebody's ID token for another application cannot start a task with it.
 * Throws IssuerError `SUBJECT_TOKEN_INVALID`.
 */
export function checkLauncher(idToken: VerifiedIdToken, agent: AgentBody): void {
  if (idToken.issuedTo.some((client) => agent.launchers.includes(client))) return;
  throw new IssuerError(
    'SUBJECT_TOKEN_INVALID',
    'The ID token was issued to a client that may not launch this agent.',
    { reason: 'launcher_not_allowed' },
  );
}

async function verifySignature(token: string, issuer: string, keys: IdpKeys): Promise<IdpToken> {
  try {
    return await keys.verify(token, { issuer, skewSeconds: SKEW_SECONDS });
  } catch (cause) {
    if (cause instanceof ServiceError && cause.code === 'IDP_TOKEN_INVALID') {
      throw invalid('The ID token does not verify or has expired.', cause);
    }
    throw new IssuerError('SERVICE_UNAVAILABLE', "The identity provider's keys cannot be had.", {
      reason: 'idp_unavailable',
      cause,
    });
  }
}

/** Read before verification, to choose whose keys to verify with; believed only afterwards. */
function claimedIssuer(token: string): string {
  try {
    const { iss } = decodeJwt(token);
    if (typeof iss === 'string') return iss;
  } catch (cause) {
    throw invalid('The subject token is not a JWT.', cause);
  }
  throw invalid('The subject token has no issuer.');
}

/** Of several audiences none is the client it was issued to: only `azp` can say which is. */
function recipients(aud: unknown, azp: unknown): string[] {
  const audiences = Array.isArray(aud) ? aud : [aud];
  return [...(audiences.length === 1 ? audiences : []), azp].filter(
    (client): client is string => typeof client === 'string',
  );
}

function invalid(message: string, cause?: unknown): IssuerError {
  return new IssuerError('SUBJECT_TOKEN_INVALID', message, {
    reason: 'subject_token_invalid',
    cause,
  });
}
