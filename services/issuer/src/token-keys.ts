import {
  importSigner,
  importVerifyKey,
  type Signer,
  TokenError,
  type VerifyKey,
} from '@remit/capability';
import type { AgentBody, PublicJwk } from '@remit/contracts';
import { IssuerError } from './error.ts';

/** What a tenant's tokens may be signed with; the registry chooses per agent. */
export type SigningAlgorithm = AgentBody['signing_alg'];
const ALGORITHMS: ReadonlySet<string> = new Set<SigningAlgorithm>([
  'ML-DSA-65',
  'ML-DSA-44',
  'Ed25519',
]);

/** The token keys of every tenant. Private keys stay inside. */
export type TokenKeys = {
  /** Tenants that this issuer signs for. */
  tenants(): string[];
  /** All keys of a tenant as a JWK Set (RFC 7517 section 5, RFC 9964); undefined for no tenant. */
  published(tenant: string): { keys: PublicJwk[] } | undefined;
  /**
   * The first key of a tenant for an algorithm. Throws IssuerError `TENANT_UNKNOWN`, or
   * `SIGNING_KEY_UNUSABLE` when the tenant has no such key.
   */
  signer(tenant: string, algorithm: SigningAlgorithm): Signer;
  /**
   * Takes a revoked key out for the life of the process, also when a later file has it: it is not
   * published, signs nothing and verifies nothing. The next key for its algorithm signs at once.
   */
  distrust(tenant: string, kid: string): void;
  /** A published key of a tenant, to verify what it signed; undefined for one that is not published. */
  verifyKey(tenant: string, kid: string): VerifyKey | undefined;
  /** Puts the keys of another file in the place of these; an unusable one changes nothing. */
  replace(file: unknown): void;
};

/**
 * Reads a token key file, `{ "<tenant>": { "keys": [privateJwk, …] } }`. Per tenant and algorithm the
 * first key signs; all are published. So a key is rotated in three steps: the next one is added
 * behind the present one and published; the two change places; the old one goes after its tokens'
 * life. A next key that stands ready is also what signs when the present one is revoked.
 * Throws IssuerError `CONFIG_INVALID` for another form, a key of another kind, a `kid` that is not
 * the key's thumbprint, or a key that stands twice: tenants do not share keys.
 */
export function createTokenKeys(file: unknown): TokenKeys {
  let signers = readFile(file);
  let verifyKeys = importPublished(signers);
  // By kid alone: a key belongs to one tenant.
  const distrusted = new Set<string>();
  return {
    tenants: () => [...signers.keys()],
    published: (tenant) => {
      const own = signers.get(tenant);
      return own && { keys: own.filter(({ kid }) => !distrusted.has(kid)).map(publicJwk) };
    },
    signer: (tenant, algorithm) => {
      const own = signers.get(tenant);
      if (!own) {
        throw new IssuerError('TENANT_UNKNOWN', 'There is no such tenant.', {
          reason: 'tenant_unknown',
        });
      }
      const fitting = own.filter(({ alg }) => alg === algorithm);
      const found = fitting.find(({ kid }) => !distrusted.has(kid));
      if (found) return found;
      const what = fitting.length > 0 ? `${algorithm} key that is not revoked` : `${algorithm} key`;
      throw new IssuerError('SIGNING_KEY_UNUSABLE', `The tenant has no ${what}.`, {
        reason: fitting.length > 0 ? 'key_revoked' : 'internal',
      });
    },
    distrust: (tenant, kid) => {
      if (signers.get(tenant)?.some((signer) => signer.kid === kid)) distrusted.add(kid);
    },
    verifyKey: (tenant, kid) =>
      distrusted.has(kid) ? undefined : verifyKeys.get(tenant)?.get(kid),
    replace: (next) => {
      signers = readFile(next);
      verifyKeys = importPublished(signers);
    },
  };
}

function publicJwk({ publicJwk: members, alg, kid }: Signer): PublicJwk {
  return { ...members, kid, alg, use: 'sig' } as PublicJwk;
}

function importPublished(signers: ReadonlyMap<string, readonly Signer[]>) {
  return new Map(
    [...signers].map(([tenant, own]) => {
      const keys = own.map((signer) => importVerifyKey(signer.publicJwk));
      return [tenant, new Map(keys.map((key) => [key.kid, key]))] as const;
    }),
  );
}

function readFile(file: unknown): Map<string, readonly Signer[]> {
  const seen = new Set<string>();
  const tenants = Object.entries(isRecord(file) ? file : {}).map(([tenant, set]) => {
    const keys = isRecord(set) && Array.isArray(set.keys) ? (set.keys as unknown[]) : [];
    if (keys.length === 0) throw unusable(`tenant ${tenant} has no keys`);
    return [tenant, keys.map((key) => readKey(key, tenant, seen))] as const;
  });
  if (tenants.length === 0) throw unusable('it names no tenant');
  return new Map(tenants);
}

function readKey(jwk: unknown, tenant: string, seen: Set<string>): Signer {
  let signer: Signer;
  try {
    signer = importSigner(jwk);
  } catch (cause) {
    // What is wrong with a private key is said by code alone: a cause could quote it.
    throw unusable(
      `a key of ${tenant}: ${cause instanceof TokenError ? cause.message : 'unreadable'}`,
    );
  }
  if (!ALGORITHMS.has(signer.alg)) throw unusable(`a key of ${tenant} is for ${signer.alg}`);
  if (isRecord(jwk) && jwk.kid !== undefined && jwk.kid !== signer.kid) {
    throw unusable(`a kid of ${tenant} is not the thumbprint of its key`);
  }
  if (seen.has(signer.kid)) throw unusable(`a key of ${tenant} stands twice`);
  seen.add(signer.kid);
  return signer;
}

function unusable(what: string): IssuerError {
  return new IssuerError('CONFIG_INVALID', `The token key file is not usable: ${what}.`, {
    reason: 'internal',
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
