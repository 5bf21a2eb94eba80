/**
 * Codes of errors that cross a wire, each with the safe sentence that goes with it. How a code maps
 * to an HTTP status, an OAuth error and a NATS reply is one table in service-kit.
 */
export const WIRE_ERRORS = {
  INVALID_REQUEST: 'The request is not well-formed.',
  UNSUPPORTED_MEDIA_TYPE: 'The content type is not the one that this route takes.',
  PAYLOAD_TOO_LARGE: 'The request is too large.',
  METHOD_NOT_ALLOWED: 'The method is not one that this route takes.',
  NOT_FOUND: 'There is nothing here.',
  TENANT_UNKNOWN: 'There is no such tenant.',
  UNAUTHENTICATED: 'The request carries no acceptable access token.',
  FORBIDDEN: 'The caller may not do this.',
  CONFLICT: 'The request contradicts what is stored.',
  INVALID_CLIENT: 'The client did not authenticate.',
  INVALID_GRANT_REQUEST: 'The token request is not acceptable.',
  UNSUPPORTED_GRANT_TYPE: 'The grant type is not supported.',
  INVALID_TARGET: 'The target is unknown or not allowed.',
  INVALID_SCOPE: 'The request asks for more than is allowed.',
  INVALID_AUTHORIZATION_DETAILS: 'The authorization details are not acceptable.',
  INVALID_DPOP_PROOF: 'The DPoP proof is not acceptable.',
  USE_DPOP_NONCE: 'The DPoP proof needs the nonce that comes with this answer.',
  UNAUTHORIZED_CLIENT: 'The client may not use this grant.',
  ACCESS_DENIED: 'The request was refused.',
  POLICY_INVALID: 'The policy set is not acceptable.',
  UNAVAILABLE: 'A service that this needs does not answer. Try again.',
  OVERLOADED: 'The service is busy. Try again.',
  INTERNAL: 'Something failed inside.',
} as const;

export type WireErrorCode = keyof typeof WIRE_ERRORS;

/** Whether a text is a wire error code of this version. */
export function isWireErrorCode(value: string): value is WireErrorCode {
  return Object.hasOwn(WIRE_ERRORS, value);
}
