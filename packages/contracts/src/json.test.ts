import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJsonStrict } from './json.ts';

const refuses = (text: string, code: string) =>
  expect(() => parseJsonStrict(text), text.slice(0, 60)).toThrow(expect.objectContaining({ code }));

describe('parseJsonStrict', () => {
  it('reads what JSON.parse reads when names are unique', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const text = JSON.stringify(value);
        fc.pre(!/"(__proto__|constructor|prototype)"/.test(text));
        expect(parseJsonStrict(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  // Goes red when claimName is not called: JSON.parse keeps the last of two equal names in silence.
  it('refuses a name that is given twice, at any depth and in any spelling', () => {
    for (const text of [
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061":2}',
      '[{"b":{"a":[],"a":[]}}]',
      '{"x":[1,{"a":1}],"y":{"a":1,"b":2,"a":3}}',
      '{"a":"\\"","a":1}',
    ]) {
      refuses(text, 'JSON_DUPLICATE_KEY');
    }
  });

  it('lets equal names stand in different objects', () => {
    expect(parseJsonStrict('[{"a":1},{"a":{"a":2}}]')).toEqual([{ a: 1 }, { a: { a: 2 } }]);
  });

  it('refuses names that reach a prototype', () => {
    for (const name of ['__proto__', 'constructor', 'prototype', '\\u005f_proto__']) {
      refuses(`{"${name}":{"x":1}}`, 'JSON_MALFORMED');
    }
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  // Goes red when only JSON.parse reads: what holds half a pair can be asked for, but not recorded.
  it('refuses half a surrogate pair, escaped or not, in values and names', () => {
    for (const text of [
      '"\\ud800"',
      '["\\uDFFF"]',
      '{"a":["x\\ud83d"]}',
      '{"\\udc00":1}',
      '"\ud800"',
    ]) {
      refuses(text, 'JSON_MALFORMED');
    }
    expect(parseJsonStrict('["\\ud83d\\ude00","\\\\ud800"]')).toEqual(['\u{1f600}', '\\ud800']);
  });

  it('refuses text that is too deep or too long before it is parsed', () => {
    refuses('['.repeat(100_000), 'JSON_TOO_DEEP');
    refuses(`${'{"a":'.repeat(33)}1${'}'.repeat(33)}`, 'JSON_TOO_DEEP');
    refuses(`"${'x'.repeat(1_048_576)}"`, 'JSON_TOO_LARGE');
  });

  it('refuses what is not JSON', () => {
    for (const text of [
      '',
      '{',
      '{"a":}',
      "{'a':1}",
      '\uFEFF{}',
      '{} {}',
      'NaN',
      '01',
      '"\\x"',
      '{"a',
      '{"\\":1}',
    ]) {
      refuses(text, 'JSON_MALFORMED');
    }
  });
});
