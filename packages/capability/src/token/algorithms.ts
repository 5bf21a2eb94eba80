import { type KeyObject, sign, verify } from 'node:crypto';

/** Of the issuer's signatures on tokens (RFC 9964, RFC 9864). */
export type TokenAlgorithm = 'ML-DSA-65' | 'ML-DSA-44' | 'Ed25519';
/** Of a client's proofs and links. */
export type ProofAlgorithm = 'ES256' | 'Ed25519';
export type Algorithm = TokenAlgorithm | ProofAlgorithm;

interface AlgorithmRow {
  readonly kty: string;
  readonly crv?: string;
  /** The members of a public key beside `kty` and `crv`; with both, those of the RFC 7638 thumbprint. */
  readonly members: readonly string[];
  readonly privateMember: string;
  readonly sign: (data: Uint8Array, key: KeyObject) => Uint8Array;
  readonly verify: (data: Uint8Array, key: KeyObject, signature: Uint8Array) => boolean;
}

const pure = {
  sign: (data: Uint8Array, key: KeyObject) => sign(null, data, key),
  verify: (data: Uint8Array, key: KeyObject, signature: Uint8Array) =>
    verify(null, data, key, signature),
};
const mlDsa = { kty: 'AKP', members: ['alg', 'pub'], privateMember: 'priv', ...pure };

// JWS carries r and s side by side (RFC 7518 section 3.4), OpenSSL's default is DER.
const es256 = (key: KeyObject) => ({ key, dsaEncoding: 'ieee-p1363' as const });

// A Map, so that an `alg` such as "constructor" finds nothing.
export const ALGORITHMS: ReadonlyMap<string, AlgorithmRow> = new Map<Algorithm, AlgorithmRow>([
  ['ML-DSA-65', mlDsa],
  ['ML-DSA-44', mlDsa],
  ['Ed25519', { kty: 'OKP', crv: 'Ed25519', members: ['x'], privateMember: 'd', ...pure }],
  [
    'ES256',
    {
      kty: 'EC',
      crv: 'P-256',
      members: ['x', 'y'],
      privateMember: 'd',
      sign: (data, key) => sign('sha256', data, es256(key)),
      verify: (data, key, signature) => verify('sha256', data, es256(key), signature),
    },
  ],
]);
