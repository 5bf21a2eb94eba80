import { generateKeyPairSync } from 'node:crypto';
import { scope } from '../../scope/index.ts';
import { type Capability, importSigner, type Signer, TokenError } from '../index.ts';

export const NOW = 1_800_000_000;
export const ISSUER = 'https://issuer.test/t/acme';
export const AUDIENCE = 'https://erp.test';

export type Kind = 'ML-DSA-65' | 'ML-DSA-44' | 'Ed25519' | 'ES256';

export function privateJwk(kind: Kind): Record<string, unknown> {
  const pair = {
    'ML-DSA-65': () => generateKeyPairSync('ml-dsa-65'),
    'ML-DSA-44': () => generateKeyPairSync('ml-dsa-44'),
    Ed25519: () => generateKeyPairSync('ed25519'),
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  }[kind]();
  return pair.privateKey.export({ format: 'jwk' });
}

export const newSigner = (kind: Kind): Signer => importSigner(privateJwk(kind));

const DIGEST = 'A'.repeat(43);

/** A first token with nothing optional but its binding. */
export function capability(changed: Partial<Capability> = {}): Capability {
  return {
    issuer: ISSUER,
    audience: AUDIENCE,
    id: 'jti-0000000000000000000',
    issuedAt: NOW,
    notBefore: NOW,
    expiresAt: NOW + 300,
    subject: 'alice',
    actors: ['procurement-agent'],
    clientId: 'procurement-agent',
    tenant: 'acme',
    task: { id: 'task_0000000000000000000000', type: 'supplier-risk-summary' },
    scope: scope([
      { actions: ['suppliers.read'], resources: ['erp/suppliers/*'], args: ['fields'] },
      { actions: ['orders.create'], resources: ['erp/orders'], args: ['amount'], check: 'online' },
    ]),
    lineage: [],
    depth: { used: 0, max: 3 },
    rev: { epoch: 'epoch-01', seq: 7 },
    status: { idx: 12, uri: 'https://revocation.test/t/acme/status/1' },
    policy: { version: 'v1', decision: '0198c0de-0000-7000-8000-000000000000' },
    confirmation: { jkt: DIGEST },
    links: false,
    ...changed,
  };
}

/** Code and message of the TokenError that a call throws. */
export function refused(call: () => unknown): { code: string; message: string; claim?: string } {
  try {
    call();
  } catch (error) {
    if (error instanceof TokenError) {
      const { code, message, context } = error;
      return { code, message, ...(context.claim !== undefined && { claim: context.claim }) };
    }
    throw error;
  }
  return { code: 'NOT_REFUSED', message: '' };
}
