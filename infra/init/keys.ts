import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { conform, type PublicJwk, type TrustFile, trustFile } from '@remit/contracts';
import { calculateJwkThumbprint, type JWK } from 'jose';

type SignerFile = { keys: (JWK & { kid: string })[] };

/** One signer file per purpose, by the name of the file; a key is never shared between two. */
const PURPOSES = {
  'revocation-bus': ['Ed25519'],
  'registry-bus': ['Ed25519'],
  'pdp-bus': ['Ed25519'],
  'audit-bus': ['Ed25519'],
  'registry-envelope': ['Ed25519'],
  'revocation-status': ['Ed25519'],
  /** A checkpoint has a signature of each. */
  'audit-checkpoint': ['Ed25519', 'ML-DSA-44'],
} as const;
export type Purpose = keyof typeof PURPOSES;

const DRAW = {
  Ed25519: () => generateKeyPairSync('ed25519').privateKey,
  'ML-DSA-44': () => generateKeyPairSync('ml-dsa-44').privateKey,
} as const;

export type DeploymentKeys = {
  signerFile(purpose: Purpose): string;
  /** `{ "<tenant>": { "keys": […] } }`: what the issuer signs tokens with. */
  tokenKeysFile: string;
  publicKeys(purpose: Purpose): PublicJwk[];
};

/**
 * Makes the signing keys of a deployment below `dir`, each file 0600: Ed25519 for each purpose and
 * ML-DSA-44 beside it for checkpoints, ML-DSA-65 for each tenant's tokens. A key that exists is kept,
 * so a later call only adds tenants, and algorithms that an older version did not have.
 */
export async function makeKeys(dir: string, tenants: readonly string[]): Promise<DeploymentKeys> {
  const signerFile = (purpose: Purpose): string => join(dir, `${purpose}.json`);
  for (const [purpose, algorithms] of Object.entries(PURPOSES)) {
    const file = signerFile(purpose as Purpose);
    const { keys }: SignerFile = existsSync(file) ? (readJson(file) as SignerFile) : { keys: [] };
    const missing = algorithms.filter((alg) => !keys.some((key) => key.alg === alg));
    for (const alg of missing) keys.push(await privateJwk(DRAW[alg](), alg));
    if (missing.length > 0) writeSecret(file, json({ keys }));
  }
  const tokenKeysFile = join(dir, 'token-keys.json');
  const tokenKeys: Record<string, SignerFile> = existsSync(tokenKeysFile)
    ? (readJson(tokenKeysFile) as Record<string, SignerFile>)
    : {};
  for (const tenant of tenants) {
    const { privateKey } = generateKeyPairSync('ml-dsa-65');
    tokenKeys[tenant] ??= { keys: [await privateJwk(privateKey, 'ML-DSA-65')] };
  }
  writeSecret(tokenKeysFile, json(tokenKeys));
  return {
    signerFile,
    tokenKeysFile,
    publicKeys: (purpose) => (readJson(signerFile(purpose)) as SignerFile).keys.map(publicPart),
  };
}

/** The trust file: issuers of the tenants, and the pinned keys of whoever signs. No secret in it. */
export function trustOf(
  keys: DeploymentKeys,
  options: { tenants: readonly string[]; issuerUrl: string; checkpointOrigin: string },
): TrustFile {
  return conform(trustFile, {
    v: 1,
    tenants: Object.fromEntries(
      options.tenants.map((tenant) => {
        const issuer = `${options.issuerUrl}/t/${tenant}`;
        return [tenant, { issuer, jwks_uri: `${issuer}/jwks.json` }];
      }),
    ),
    keys: {
      revocation: keys.publicKeys('revocation-bus'),
      registry: keys.publicKeys('registry-bus'),
      envelope: keys.publicKeys('registry-envelope'),
      pdp: keys.publicKeys('pdp-bus'),
      audit_mark: keys.publicKeys('audit-bus'),
      checkpoint: keys.publicKeys('audit-checkpoint'),
    },
    checkpoint_origin: options.checkpointOrigin,
  });
}

/** Writes a file that only its owner may read, unless `mode` says otherwise. */
export function writeSecret(file: string, content: string, mode = 0o600): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, content, { mode });
}

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

export function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}

async function privateJwk(key: KeyObject, alg: string): Promise<JWK & { kid: string }> {
  const jwk = { ...(key.export({ format: 'jwk' }) as JWK), alg, use: 'sig' };
  return { ...jwk, kid: await calculateJwkThumbprint(jwk) };
}

function publicPart(jwk: JWK): PublicJwk {
  const { d: _d, priv: _priv, ...rest } = jwk;
  return rest as PublicJwk;
}
