export type { Algorithm, ProofAlgorithm, TokenAlgorithm } from './algorithms.ts';
export { capabilityPayload } from './build.ts';
export {
  type Budget,
  type Capability,
  type Confirmation,
  MAX_DEPTH,
  MAX_TTL_SECONDS,
  type NewCapability,
  type NextActor,
  readCapability,
} from './capability.ts';
export { checkAudience, checkBinding, checkIssuer, checkTimes } from './checks.ts';
export {
  type AuthorizationDetail,
  CAPABILITY_TYPE,
  fromAuthorizationDetails,
  toAuthorizationDetails,
} from './details.ts';
export { TokenError, type TokenErrorCode, type TokenErrorContext } from './errors.ts';
export {
  importSigner,
  importVerifyKey,
  jwkThumbprint,
  type PublicJwk,
  type Signer,
  type VerifyKey,
} from './keys.ts';
export {
  accessTokenHash,
  createProof,
  type ProofKeyCache,
  type ProofOptions,
  type VerifiedProof,
  verifyProof,
} from './proof.ts';
export {
  MAX_TOKEN_LENGTH,
  PROOF_ROOM,
  type VerifiedToken,
  type VerifyOptions,
  verifyCapabilitySignature,
} from './verify.ts';
