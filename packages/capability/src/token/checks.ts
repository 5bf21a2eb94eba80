import type { Capability } from './capability.ts';
import { TokenError } from './errors.ts';

/** Exact comparison with what the tenant's trust entry says. ISSUER_MISMATCH, TENANT_MISMATCH. */
export function checkIssuer(
  capability: Pick<Capability, 'issuer' | 'tenant'>,
  expected: { readonly issuer: string; readonly tenant: string },
): void {
  if (capability.issuer !== expected.issuer) {
    throw new TokenError('ISSUER_MISMATCH', 'the issuer is another', { claim: 'iss' });
  }
  if (capability.tenant !== expected.tenant) {
    throw new TokenError('TENANT_MISMATCH', 'the tenant is another', { claim: 'tenant' });
  }
}

/** Byte for byte: no URL normalisation, no prefix, no list. AUDIENCE_MISMATCH. */
export function checkAudience(capability: Pick<Capability, 'audience'>, expected: string): void {
  if (capability.audience !== expected) {
    throw new TokenError('AUDIENCE_MISMATCH', 'the audience is another', { claim: 'aud' });
  }
}

/**
 * Whether the token is valid at `nowSeconds`. `leewaySeconds` (0 to 60, default 5) forgives a clock
 * that is behind the issuer's; an expiry is never stretched (RFC 7519 section 4.1.4).
 *
 * @throws TokenError TOKEN_EXPIRED, TOKEN_NOT_YET_VALID
 */
export function checkTimes(
  capability: Pick<Capability, 'issuedAt' | 'notBefore' | 'expiresAt'>,
  nowSeconds: number,
  { leewaySeconds = 5 }: { readonly leewaySeconds?: number } = {},
): void {
  if (!Number.isFinite(nowSeconds) || !(leewaySeconds >= 0 && leewaySeconds <= 60)) {
    throw new TypeError('nowSeconds must be a number, leewaySeconds one from 0 to 60');
  }
  if (nowSeconds >= capability.expiresAt) {
    throw new TokenError('TOKEN_EXPIRED', 'the token has expired', { claim: 'exp' });
  }
  const earliest = Math.max(capability.notBefore, capability.issuedAt);
  if (nowSeconds + leewaySeconds < earliest) {
    throw new TokenError('TOKEN_NOT_YET_VALID', 'the token is not valid yet', { claim: 'nbf' });
  }
}

/**
 * Whether what the caller proved is the key that the token is bound to. A token without a binding
 * passes; whether bearer tokens are welcome was the registry's decision when it was minted.
 *
 * @param proved `jkt` from `verifyProof`, or the thumbprint of the TLS client certificate
 * @throws TokenError DPOP_REQUIRED, DPOP_KEY_MISMATCH, CERTIFICATE_MISMATCH
 */
export function checkBinding(
  { confirmation }: Pick<Capability, 'confirmation'>,
  proved: { readonly jkt?: string | undefined; readonly x5tS256?: string | undefined },
): void {
  if (confirmation === undefined) return;
  if ('x5tS256' in confirmation) {
    if (proved.x5tS256 === confirmation.x5tS256) return;
    throw new TokenError('CERTIFICATE_MISMATCH', 'the certificate is another', { claim: 'cnf' });
  }
  if (proved.jkt === undefined) {
    throw new TokenError('DPOP_REQUIRED', 'the token is bound to a key', { claim: 'cnf' });
  }
  if (proved.jkt !== confirmation.jkt) {
    throw new TokenError('DPOP_KEY_MISMATCH', 'the proof is of another key', { claim: 'cnf' });
  }
}
