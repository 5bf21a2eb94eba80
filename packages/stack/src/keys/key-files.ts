import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { PublicJwk, TrustFile } from '@remit/contracts';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { StackError } from '../error.ts';

export type KeyAlgorithm = 'Ed25519' | 'ES256' | 'ML-DSA-44' | 'ML-DSA-65';
export type PrivateJwk = JWK & { kid: string };
export type SignerFile = { keys: PrivateJwk[] };

/** Makes a private key. `label` names its use, for makers that derive instead of draw. */
export type KeyMaker = (algorithm: KeyAlgorithm, label: string) => KeyObject;

/** One signer file per purpose, the first key signs; a key is never shared between two. */
const PURPOSES = {
  /** Events, beats and answers. */
  'revocation-bus': ['Ed25519'],
  'registry-bus': ['Ed25519'],
  'pdp-bus': ['Ed25519'],
  /** Commit marks. */
  'audit-bus': ['Ed25519'],
  'registry-envelope': ['Ed25519'],
  'revocation-status': ['Ed25519'],
  /** A checkpoint has a signature of each. */
  'audit-checkpoint': ['Ed25519', 'ML-DSA-44'],
} as const satisfies Record<string, readonly KeyAlgorithm[]>;
export type KeyPurpose = keyof typeof PURPOSES;

export type KeyFiles = {
  /** `{ "<tenant>": { "keys": […] } }`, ML-DSA-65: what the issuer signs tokens with. */
  readonly tokenKeysFile: string;
  signerFile(purpose: KeyPurpose): string;
  /** An agent's client key (Ed25519) for `private_key_jwt`. */
  agentFile(agent: string): string;
  /** An agent's proof key (ES256) for DPoP. */
  agentProofFile(agent: string): string;
  publicKeys(file: string): PublicJwk[];
  /** The public token keys of a tenant, as the issuer publishes them. */
  tokenPublicKeys(tenant: string): PublicJwk[];
};

/**
 * Makes every key of a deployment below `dir`, one 0600 file per purpose: the signers of the services,
 * the token keys of each tenant, and for each agent a client key and a proof key. What exists is kept,
 * so that a later call adds a tenant or an agent.
 */
export async function makeKeys(
  dir: string,
  who: { tenants: readonly string[]; agents?: readonly string[] },
  make: KeyMaker = drawKey,
): Promise<KeyFiles> {
  const signerFile = (purpose: KeyPurpose): string => join(dir, `${purpose}.json`);
  const agentFile = (agent: string): string => join(dir, 'agents', `${agent}.json`);
  const agentProofFile = (agent: string): string => join(dir, 'agents', `${agent}.dpop.json`);
  const ensure = async (
    file: string,
    algorithms: readonly KeyAlgorithm[],
    label: string,
  ): Promise<void> => {
    const { keys }: SignerFile = existsSync(file) ? readSigner(file) : { keys: [] };
    const missing = algorithms.filter((alg) => !keys.some((key) => key.alg === alg));
    if (missing.length === 0) return;
    for (const algorithm of missing) {
      keys.push(await privateJwk(make(algorithm, label), algorithm));
    }
    writeSecret(file, { keys });
  };
  for (const [purpose, algorithms] of Object.entries(PURPOSES)) {
    await ensure(signerFile(purpose as KeyPurpose), algorithms, purpose);
  }
  for (const agent of who.agents ?? []) {
    await ensure(agentFile(agent), ['Ed25519'], `agent ${agent}`);
    await ensure(agentProofFile(agent), ['ES256'], `proof ${agent}`);
  }
  const tokenKeysFile = join(dir, 'token-keys.json');
  const tokenKeys: Record<string, SignerFile> = existsSync(tokenKeysFile)
    ? JSON.parse(readFileSync(tokenKeysFile, 'utf8'))
    : {};
  for (const tenant of who.tenants) {
    tokenKeys[tenant] ??= {
      keys: [await privateJwk(make('ML-DSA-65', `token ${tenant}`), 'ML-DSA-65')],
    };
  }
  writeSecret(tokenKeysFile, tokenKeys);
  return {
    tokenKeysFile,
    signerFile,
    agentFile,
    agentProofFile,
    publicKeys: (file) => readSigner(file).keys.map(publicPart),
    tokenPublicKeys: (tenant) => (tokenKeys[tenant]?.keys ?? []).map(publicPart),
  };
}

/** The trust file of a deployment: its tenants' issuers and the pinned root keys of its services. */
export function makeTrust(
  keys: KeyFiles,
  options: { tenants: readonly string[]; issuerUrl: string; checkpointOrigin: string },
): TrustFile {
  const pinned = (purpose: KeyPurpose): PublicJwk[] => keys.publicKeys(keys.signerFile(purpose));
  return {
    v: 1,
    tenants: Object.fromEntries(
      options.tenants.map((tenant) => {
        const issuer = `${options.issuerUrl}/t/${tenant}`;
        return [tenant, { issuer, jwks_uri: `${issuer}/jwks.json` }];
      }),
    ),
    keys: {
      revocation: pinned('revocation-bus'),
      registry: pinned('registry-bus'),
      envelope: pinned('registry-envelope'),
      pdp: pinned('pdp-bus'),
      audit_mark: pinned('audit-bus'),
      checkpoint: pinned('audit-checkpoint'),
    },
    checkpoint_origin: options.checkpointOrigin,
  };
}

/** Reads a signer file. Throws StackError `CONFIG_INVALID` when it is none. */
export function readSigner(file: string): SignerFile {
  try {
    const signer = JSON.parse(readFileSync(file, 'utf8')) as SignerFile;
    if (Array.isArray(signer.keys) && signer.keys.length > 0) return signer;
  } catch (cause) {
    throw new StackError('CONFIG_INVALID', `${file} is not a signer file.`, { cause });
  }
  throw new StackError('CONFIG_INVALID', `${file} holds no key.`);
}

/** Writes JSON that only this user may read. */
export function writeSecret(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
}

/** A private JWK with `alg`, `use` and the RFC 7638 thumbprint as `kid`. */
export async function privateJwk(key: KeyObject, algorithm: KeyAlgorithm): Promise<PrivateJwk> {
  const jwk = { ...(key.export({ format: 'jwk' }) as JWK), alg: algorithm, use: 'sig' };
  return { ...jwk, kid: await calculateJwkThumbprint(jwk) };
}

/** A private JWK without what is secret in it. */
export function publicPart(jwk: JWK): PublicJwk {
  const { d: _d, priv: _priv, ...rest } = jwk;
  return rest as PublicJwk;
}

function drawKey(algorithm: KeyAlgorithm): KeyObject {
  if (algorithm === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  if (algorithm === 'Ed25519') return generateKeyPairSync('ed25519').privateKey;
  if (algorithm === 'ML-DSA-44') return generateKeyPairSync('ml-dsa-44').privateKey;
  return generateKeyPairSync('ml-dsa-65').privateKey;
}
