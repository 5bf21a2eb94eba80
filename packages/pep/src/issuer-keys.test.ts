import { importSigner } from '@remit/capability/token';
import { exportJWK, generateKeyPair } from 'jose';
import { describe, expect, it } from 'vitest';
import { createIssuerKeys } from './issuer-keys.ts';

async function publicKey() {
  const { privateKey } = await generateKeyPair('Ed25519', { extractable: true });
  return importSigner({ ...(await exportJWK(privateKey)), alg: 'Ed25519' });
}

function serving(answers: (() => Response)[]) {
  const asked: unknown[] = [];
  const fetchKeys = (async (url: unknown, init?: RequestInit) => {
    asked.push([url, init?.redirect]);
    return (answers[Math.min(asked.length, answers.length) - 1] as () => Response)();
  }) as typeof fetch;
  return { asked, fetchKeys };
}

const set =
  (...keys: object[]) =>
  () =>
    Response.json({ keys });

describe('the keys of an issuer', () => {
  it('are asked for at the trusted address alone, without following a redirect', async () => {
    const key = await publicKey();
    const { asked, fetchKeys } = serving([set({ ...key.publicJwk, kid: key.kid })]);
    const keys = createIssuerKeys({
      jwksUri: 'https://as.example/jwks',
      monotonicMs: () => 0,
      fetch: fetchKeys,
    });
    await keys.refresh();
    expect(keys.get(key.kid)?.alg).toBe('Ed25519');
    expect(keys.get('__proto__')).toBeUndefined();
    expect(asked).toEqual([['https://as.example/jwks', 'error']]);
  });

  // Goes red without the cool-down: random key ids would make the PEP hammer the issuer.
  it('are asked for at most once per cool-down, and together when asked at once', async () => {
    let now = 0;
    const { asked, fetchKeys } = serving([set()]);
    const keys = createIssuerKeys({
      jwksUri: 'https://as.example/jwks',
      monotonicMs: () => now,
      fetch: fetchKeys,
      cooldownMs: 2_000,
    });
    await Promise.all([keys.refresh(), keys.refresh()]);
    await keys.refresh();
    now = 1_999;
    await keys.refresh();
    expect(asked).toHaveLength(1);
    now = 2_000;
    await keys.refresh();
    expect(asked).toHaveLength(2);
  });

  it('are replaced as a whole, so that a withdrawn key is gone', async () => {
    let now = 0;
    const [old, next] = [await publicKey(), await publicKey()];
    const { fetchKeys } = serving([
      set(old.publicJwk),
      set(old.publicJwk, next.publicJwk),
      set(next.publicJwk),
    ]);
    const keys = createIssuerKeys({
      jwksUri: 'https://as.example/jwks',
      monotonicMs: () => now,
      fetch: fetchKeys,
    });
    await keys.refresh();
    expect([keys.get(old.kid) !== undefined, keys.get(next.kid) !== undefined]).toEqual([
      true,
      false,
    ]);
    now += 2_000;
    await keys.refresh();
    expect(keys.size()).toBe(2);
    now += 2_000;
    await keys.refresh();
    expect([keys.get(old.kid) !== undefined, keys.get(next.kid) !== undefined]).toEqual([
      false,
      true,
    ]);
  });

  it('are taken without those that this version does not know', async () => {
    const key = await publicKey();
    const { fetchKeys } = serving([
      set(
        { kty: 'RSA', n: 'x', e: 'AQAB' },
        { kty: 'AKP', alg: 'ML-DSA-87', pub: 'AA' },
        null as never,
        key.publicJwk,
      ),
    ]);
    const keys = createIssuerKeys({
      jwksUri: 'https://as.example/jwks',
      monotonicMs: () => 0,
      fetch: fetchKeys,
    });
    await keys.refresh();
    expect(keys.size()).toBe(1);
    expect(keys.get(key.kid)).toBeDefined();
  });

  it('stay as they were when an answer is not a bounded key set', async () => {
    const key = await publicKey();
    const bad: (() => Response)[] = [
      () => new Response('{"keys":[],"keys":[]}'),
      () => new Response(`{"keys":[${' '.repeat(300_000)}]}`),
      () => new Response('gone', { status: 404 }),
      () => Response.json({ keys: 'x' }),
      () => Response.json({ keys: [{ ...key.publicJwk, d: 'secret' }] }),
      () => Response.json({ keys: Array.from({ length: 33 }, () => key.publicJwk) }),
      () => {
        throw new TypeError('no connection');
      },
    ];
    let now = 0;
    const failures: unknown[] = [];
    const { fetchKeys } = serving([set(key.publicJwk), ...bad]);
    const keys = createIssuerKeys({
      jwksUri: 'https://as.example/jwks',
      monotonicMs: () => now,
      fetch: fetchKeys,
      onError: (cause) => failures.push(cause),
    });
    for (let i = 0; i <= bad.length; i++) {
      await keys.refresh();
      now += 2_000;
      expect(keys.get(key.kid)).toBeDefined();
    }
    expect(failures).toHaveLength(bad.length);
  });
});
