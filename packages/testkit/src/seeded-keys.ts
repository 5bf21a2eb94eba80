import { createECDH, createPrivateKey, hkdfSync, type KeyObject } from 'node:crypto';
import type { KeyMaker } from '@remit/stack';

/** PKCS #8 up to the seed: RFC 8410 for Ed25519, RFC 9881 (seed only) for ML-DSA. */
const ED25519_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const ML_DSA_44_PREFIX = Buffer.from('3034020100300b060960864801650304031104228020', 'hex');
const ML_DSA_65_PREFIX = Buffer.from('3034020100300b060960864801650304031204228020', 'hex');

const PREFIXES = {
  Ed25519: ED25519_PREFIX,
  'ML-DSA-44': ML_DSA_44_PREFIX,
  'ML-DSA-65': ML_DSA_65_PREFIX,
} as const;

/** Private keys that follow from a seed and a label: the same in every run. For tests only. */
export function seededKeys(seed = 'remit'): KeyMaker {
  return (algorithm, label) => {
    const bytes = Buffer.from(hkdfSync('sha256', seed, algorithm, label, 32));
    if (algorithm === 'ES256') return p256(bytes);
    const prefix = PREFIXES[algorithm];
    return createPrivateKey({
      key: Buffer.concat([prefix, bytes]),
      format: 'der',
      type: 'pkcs8',
    });
  };
}

function p256(scalar: Buffer): KeyObject {
  // Below the order of the curve for sure; a test key needs no even distribution.
  scalar[0] = 0x01;
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(scalar);
  const point = curve.getPublicKey();
  return createPrivateKey({
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: scalar.toString('base64url'),
      x: point.subarray(1, 33).toString('base64url'),
      y: point.subarray(33).toString('base64url'),
    },
    format: 'jwk',
  });
}
