import { generateKeyPairSync } from 'node:crypto';
import { jwkThumbprint } from '@remit/capability';
import { describe, expect, it } from 'vitest';
import { createTokenKeys } from './token-keys.ts';

type Kind = 'ed25519' | 'ml-dsa-44' | 'ml-dsa-65';
const newKey = (kind: Kind): Record<string, unknown> => {
  const { privateKey } = generateKeyPairSync(kind as 'ed25519');
  return { ...privateKey.export({ format: 'jwk' }) };
};
const [old, next, small, edwards] = [
  newKey('ml-dsa-65'),
  newKey('ml-dsa-65'),
  newKey('ml-dsa-44'),
  newKey('ed25519'),
];

describe('token keys', () => {
  it('sign with the first key of each algorithm and publish them all, without what is private', () => {
    const keys = createTokenKeys({ acme: { keys: [old, next, small, edwards] } });
    expect(keys.tenants()).toEqual(['acme']);
    expect(keys.signer('acme', 'ML-DSA-65').kid).toBe(jwkThumbprint(old));
    expect(keys.signer('acme', 'ML-DSA-44').kid).toBe(jwkThumbprint(small));
    expect(keys.signer('acme', 'Ed25519').kid).toBe(jwkThumbprint(edwards));
    expect(keys.published('acme')?.keys).toEqual([
      { kty: 'AKP', alg: 'ML-DSA-65', pub: old?.pub, kid: jwkThumbprint(old), use: 'sig' },
      { kty: 'AKP', alg: 'ML-DSA-65', pub: next?.pub, kid: jwkThumbprint(next), use: 'sig' },
      { kty: 'AKP', alg: 'ML-DSA-44', pub: small?.pub, kid: jwkThumbprint(small), use: 'sig' },
      {
        kty: 'OKP',
        crv: 'Ed25519',
        alg: 'Ed25519',
        x: edwards?.x,
        kid: jwkThumbprint(edwards),
        use: 'sig',
      },
    ]);
  });

  it('verify what their own tenant signed, by every key that is published', () => {
    const keys = createTokenKeys({ acme: { keys: [old, next] }, globex: { keys: [small] } });
    expect(keys.verifyKey('acme', jwkThumbprint(next))).toMatchObject({
      kid: jwkThumbprint(next),
      alg: 'ML-DSA-65',
    });
    expect(keys.verifyKey('acme', jwkThumbprint(small))).toBeUndefined();
    expect(keys.verifyKey('nobody', jwkThumbprint(old))).toBeUndefined();
    keys.replace({ acme: { keys: [old] } });
    expect(keys.verifyKey('acme', jwkThumbprint(next))).toBeUndefined();
    expect(keys.verifyKey('acme', jwkThumbprint(old))?.key.type).toBe('public');
  });

  it('are replaced as a whole or not at all', () => {
    const keys = createTokenKeys({ acme: { keys: [old] } });
    expect(() => keys.replace({ acme: { keys: [] } })).toThrow('tenant acme has no keys');
    expect(keys.signer('acme', 'ML-DSA-65').kid).toBe(jwkThumbprint(old));
    keys.replace({ acme: { keys: [next, old] } });
    expect(keys.signer('acme', 'ML-DSA-65').kid).toBe(jwkThumbprint(next));
    expect(keys.published('acme')?.keys).toHaveLength(2);
  });

  it('belong to one tenant each', () => {
    const keys = createTokenKeys({ acme: { keys: [old] }, globex: { keys: [next] } });
    expect(keys.signer('globex', 'ML-DSA-65').kid).toBe(jwkThumbprint(next));
    expect(keys.published('other')).toBeUndefined();
    expect(() => keys.signer('other', 'ML-DSA-65')).toThrow(
      expect.objectContaining({ code: 'TENANT_UNKNOWN', message: 'There is no such tenant.' }),
    );
    expect(() => keys.signer('acme', 'Ed25519')).toThrow(
      expect.objectContaining({
        code: 'SIGNING_KEY_UNUSABLE',
        message: 'The tenant has no Ed25519 key.',
      }),
    );
  });

  const publicPart = (): Record<string, unknown> => {
    const { priv: _, ...rest } = old ?? {};
    return rest;
  };
  it.each([
    ['no object', [], 'it names no tenant'],
    ['no tenant', {}, 'it names no tenant'],
    ['a set that is a list', { acme: [old] }, 'tenant acme has no keys'],
    [
      'a public key',
      { acme: { keys: [publicPart()] } },
      'a key of acme: the private part is missing',
    ],
    [
      'a key without alg',
      { acme: { keys: [{ ...old, alg: undefined }] } },
      'a key of acme: the key is of a kind that is not accepted',
    ],
    ['a P-256 key', { acme: { keys: [ec()] } }, 'a key of acme is for ES256'],
    ['a key of two halves', { acme: { keys: [{ ...old, priv: next?.priv }] } }, 'a key of acme'],
    [
      'a wrong kid',
      { acme: { keys: [{ ...old, kid: 'k1' }] } },
      'a kid of acme is not the thumbprint of its key',
    ],
    ['a key twice', { acme: { keys: [old, old] } }, 'a key of acme stands twice'],
    [
      'a key of two tenants',
      { acme: { keys: [old] }, globex: { keys: [old] } },
      'a key of globex stands twice',
    ],
  ])('are not read from a file with %s', (_, file, message) => {
    let thrown: unknown;
    try {
      createTokenKeys(file);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'CONFIG_INVALID' });
    expect(String(thrown)).toContain(message);
    expect(String(thrown)).not.toContain(String(old?.priv));
  });
});

function ec(): object {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
}
