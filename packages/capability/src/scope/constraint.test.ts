import { describe, expect, it } from 'vitest';
import { parseOperation, permits, scope } from './index.ts';

const box = (constraints: Record<string, unknown>, args: unknown = 'any') =>
  scope([{ actions: ['pay'], resources: ['erp/x'], args, constraints }]);

function admits(of: ReturnType<typeof scope>, args: Record<string, unknown>): boolean {
  return permits(of, parseOperation({ action: 'pay', resource: 'erp/x', args })).ok;
}

const value = (tests: object, v: unknown) => admits(box({ v: tests }), { v });

describe('a constraint', () => {
  it.each([
    [{ in: ['a', 1, null] }, ['a', 1, null], ['b', '1', undefined, 0, false]],
    [
      { eq: { a: [1, { b: 2 }], c: 3 } },
      [{ c: 3, a: [1, { b: 2 }] }],
      [{ c: 3, a: [{ b: 2 }, 1] }, {}],
    ],
    [{ min: 1, max: 10 }, [1, 10, 2.5], [0.9999, 10.0001, '5', [5], true]],
    [{ like: ['S-*'] }, ['S-', 'S-1'], ['S-1/2', 's-1', 'S-1 ', 'S-%31', 'S-\u0000', '']],
    [{ maxLength: 2 }, ['', 'ab', '𝒳𝒳'], ['abc', 2, ['a']]],
    [{ maxItems: 1 }, [[], ['a']], [['a', 'b'], 'a', {}]],
    [{ each: { min: 1 } }, [[], [1, 2]], [[0], ['1'], 1]],
    [{}, [null, '', 0, [], {}, false], []],
    [{ each: {} }, [[], [1, 'a']], [[1e300], 'a']],
  ])('%j admits and refuses', (tests, good, bad) => {
    for (const v of good) expect(value(tests, v), JSON.stringify(v)).toBe(true);
    for (const v of bad) {
      if (v !== undefined) expect(value(tests, v), JSON.stringify(v)).toBe(false);
    }
    expect(admits(box({ v: tests }), {})).toBe(false);
  });

  it('is optional or demands absence only when it says so', () => {
    expect(admits(box({ v: { min: 1, optional: true } }), {})).toBe(true);
    expect(admits(box({ v: { min: 1, optional: true } }), { v: 0 })).toBe(false);
    expect(admits(box({ v: { absent: true } }), {})).toBe(true);
    expect(admits(box({ v: { absent: true } }), { v: null })).toBe(false);
    expect(admits(box({ 'v.w': { eq: 1 } }), { v: { w: 1 } })).toBe(true);
    expect(admits(box({ 'v.w': { eq: 1 } }), { v: [{ w: 1 }] })).toBe(false);
  });

  it('passes only numbers that JSON, JavaScript and Cedar hold exactly', () => {
    for (const good of [0, -0, 2 ** 53 - 1, -(2 ** 53 - 1), 0.1, 99_999_999_999.9999, -12.3456]) {
      expect(value({ max: 2 ** 53 - 1 }, good), String(good)).toBe(true);
    }
    for (const bad of [2 ** 53, 1e21, 1e300, 0.00001, 1e-7, 1.23456, 100_000_000_000.5]) {
      expect(value({}, bad), String(bad)).toBe(false);
      expect(value({ min: -1e10 }, bad), String(bad)).toBe(false);
    }
    expect(value({ eq: 0 }, -0)).toBe(true);
    expect(() => box({ v: { min: 0.00001 } })).toThrow(/exactly/);
    expect(() => box({ v: { in: [{ deep: 1e300 }] } })).toThrow(/exactly/);
  });

  it('reads one address and compares its host', () => {
    const hosts = { emails: ['corp.example', '*.corp.example'] };
    for (const good of ['a@corp.example', 'A.b+c@CORP.example', 'a@x.y.corp.example']) {
      expect(value(hosts, good), good).toBe(true);
    }
    for (const bad of [
      'a@corp.example.evil.test',
      'a@evilcorp.example',
      'a@corp.example,b@evil.test',
      'A <a@corp.example>',
      'a@evil.test@corp.example',
      '"a b"@corp.example',
      'a@corp.example.',
      ' a@corp.example',
      'a@corp.example\n',
      '@corp.example',
      'a@',
      'a..b@corp.example',
      '.a@corp.example',
      'a@[127.0.0.1]',
      'é@corp.example',
      'a@\u212aorp.example',
      'a@ｃorp.example',
      'mailto:a@corp.example',
      'a%40b@corp.example@',
      'a@.corp.example',
      'a@-.corp.example',
    ]) {
      expect(value(hosts, bad), bad).toBe(false);
    }
    expect(value({ emails: ['*.corp.example'] }, 'a@corp.example')).toBe(false);
    expect(value({ emails: ['k.example'] }, 'a@\u212a.example')).toBe(false);
  });

  it('reads an absolute https URL and compares its host', () => {
    const hosts = { hosts: ['corp.example', '*.corp.example', '10.0.0.1', '[::1]'] };
    for (const good of [
      'https://corp.example',
      'https://CORP.example:8443/p?q#f',
      'https://x.corp.example/@evil.test',
      'https://10.0.0.1/',
      'https://[::1]:8443/',
      // 10.0.0.1 to the parser that fetches it, and that one is listed.
      'https://0x0a000001/',
      'https://10.1/..',
      'HTTPS://corp.example/',
    ]) {
      expect(value(hosts, good), good).toBe(true);
    }
    for (const bad of [
      'http://corp.example/',
      '//corp.example/',
      'https:corp.example',
      'https:/corp.example',
      'https:\\\\corp.example',
      'https://u:p@corp.example/',
      'https://u@corp.example/',
      'https://corp.example\\@evil.test/',
      'https://corp.example@evil.test/',
      'https://evil.test/?corp.example',
      'https://corp.example.evil.test/',
      ' https://corp.example/',
      'https://corp.ex\tample/',
      'https://corp.example%2eevil.test/',
      'corp.example',
      'https://127.0.0.1/',
      'https://corp.example./',
      'javascript:https://corp.example/',
      'https://',
      'https://corp.example:99999/',
    ]) {
      expect(value(hosts, bad), bad).toBe(false);
    }
    expect(() => box({ v: { hosts: ['*.0.0.1'] } })).toThrow(/not a host/);
    // Longer authorities could cost the parser the square of their length.
    const below = (length: number) => `https://${'a.'.repeat((length - 12) / 2)}corp.example/`;
    expect(value({ hosts: ['*.corp.example'] }, below(320))).toBe(true);
    expect(value({ hosts: ['*.corp.example'] }, below(322))).toBe(false);
  });

  it.each([
    ['corp.example/'],
    ['https://corp.example'],
    ['a@corp.example'],
    ['*'],
    ['*.'],
    ['a.*.b'],
    ['bücher.example'],
    ['corp.example.'],
    ['010.0.0.1'],
    ['[::0:1]'],
    ['-a.example'],
    ['a..b'],
    [''],
  ])('refuses the host %j', (host) => {
    expect(() => box({ v: { hosts: [host] } })).toThrow(/not a host/);
  });
});
