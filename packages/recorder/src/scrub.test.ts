import { describe, expect, it } from 'vitest';
import { scrub } from './scrub.ts';

const TOKEN = `${Buffer.from('{"alg":"ML-DSA-65","typ":"at+jwt"}').toString('base64url')}.${Buffer.from('{"sub":"alice"}').toString('base64url')}.c2lnbmF0dXJl`;

describe('scrubbing', () => {
  it('takes tokens, keys and seeds out of every text, names of members too, and counts them', () => {
    let removed = 0;
    const clean = scrub(
      {
        a: `Bearer ${TOKEN} and more`,
        [`k ${TOKEN}`]: 1,
        list: [{ deep: TOKEN }, TOKEN.slice(0, TOKEN.lastIndexOf('.'))],
        pem: '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----',
        seed: `SU${'A'.repeat(56)}`,
        fine: 'eyJ is only a beginning',
        n: 5,
        none: undefined,
      },
      () => removed++,
    );
    expect(clean).toEqual({
      a: 'Bearer [removed] and more',
      'k [removed]': 1,
      list: [{ deep: '[removed]' }, '[removed]'],
      pem: '[removed]',
      seed: '[removed]',
      fine: 'eyJ is only a beginning',
      n: 5,
    });
    expect(removed).toBe(6);
  });

  // Red with a plain assignment to the copy.
  it('keeps a member whose name would reach a prototype', () => {
    const given = JSON.parse('{"__proto__":{"a":1},"constructor":2}') as object;
    expect(JSON.stringify(scrub(given, () => {}))).toBe('{"__proto__":{"a":1},"constructor":2}');
  });

  it('reads 200 kB that nearly look like a token in one pass', () => {
    const began = performance.now();
    for (const hostile of ['eyJaaaaaaaaa'.repeat(17_000), 'eyJ.'.repeat(50_000)]) {
      expect(scrub(hostile, () => {})).toBe(hostile);
    }
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
