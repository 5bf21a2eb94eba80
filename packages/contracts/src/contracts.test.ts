import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { auditMessage, commit, opens } from './audit.ts';
import { bodyDigest, canonicalText } from './canonical.ts';
import { isWireErrorCode } from './errors.ts';
import { isReason, REASONS } from './reasons.ts';
import { publicJwk, registryBody } from './registry.ts';
import { rpc, SERVICES } from './rpc.ts';
import { conform, matches } from './schema.ts';
import { makeCloudEvent, SIGNED } from './signed.ts';
import { durables, streams } from './streams.ts';
import { trustFile } from './trust.ts';

describe('canonical bytes', () => {
  it('follow the example of RFC 8785 section 3.2.2', () => {
    const value = JSON.parse(
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
        '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    );
    expect(canonicalText(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('do not depend on the order in which members were written', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.integer()), (object) => {
        const reversed = Object.fromEntries(Object.entries(object).toReversed());
        expect(canonicalText(reversed)).toBe(canonicalText(object));
      }),
    );
  });

  it('are refused for what JSON cannot hold', () => {
    for (const value of [
      undefined,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      () => 1,
      '\ud800',
      { a: '\udfff' },
    ]) {
      expect(() => canonicalText(value)).toThrow(
        expect.objectContaining({ code: 'NOT_CANONICAL' }),
      );
    }
  });

  it('name a body by its digest', () => {
    expect(bodyDigest('{}')).toBe('sha256:RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o');
  });
});

describe('a commitment', () => {
  it('opens with its own salt and value and with nothing else', () => {
    const salt = Buffer.alloc(16, 7).toString('base64url');
    const other = Buffer.alloc(16, 8).toString('base64url');
    const target = commit(salt, 'alice');
    expect(opens(target, { salt, value: 'alice' })).toBe(true);
    expect(opens(target, { salt, value: 'Alice' })).toBe(false);
    expect(opens(target, { salt: other, value: 'alice' })).toBe(false);
    expect(commit(other, 'alice')).not.toEqual(target);
  });
});

describe('schemas', () => {
  it('are closed: every request of the bus refuses an unknown member', () => {
    for (const [name, declaration] of Object.entries(rpc)) {
      expect(declaration.request, name).toHaveProperty('additionalProperties', false);
      expect(declaration.response, name).toHaveProperty('additionalProperties', false);
      expect(() => conform(declaration.request, { surprise: 1 }), name).toThrow(
        expect.objectContaining({ code: 'SCHEMA_MISMATCH' }),
      );
    }
  });

  it('all compile', () => {
    for (const schema of [auditMessage, registryBody, trustFile])
      expect(matches(schema, null)).toBe(false);
  });

  it('refuse a private key where a public one belongs', () => {
    const key = { kty: 'OKP', crv: 'Ed25519', x: 'abc' };
    expect(matches(publicJwk, key)).toBe(true);
    for (const secret of ['d', 'priv', 'k', 'p']) {
      expect(matches(publicJwk, { ...key, [secret]: 'abc' }), secret).toBe(false);
    }
  });

  it('name the place and never the value in an error', () => {
    expect(() => conform(rpc['revocation.head'].request, { nonce: 5 })).toThrow(
      '/nonce must be string',
    );
    expect(() => conform(rpc['revocation.head'].request, { nonce: '', secret: 'x' })).toThrow(
      'must NOT have additional properties',
    );
  });
});

describe('tables', () => {
  it('name each callee and caller of the bus from the list of services', () => {
    expect(SERVICES).toEqual(['audit', 'issuer', 'pdp', 'registry', 'revocation']);
    for (const [name, { callee, method, callers }] of Object.entries(rpc)) {
      expect(name).toBe(`${callee}.${method}`);
      for (const service of [callee, ...callers]) expect(SERVICES).toContain(service);
    }
    for (const { owner } of [...Object.values(streams), ...Object.values(durables)]) {
      expect(SERVICES).toContain(owner);
    }
  });

  it('give every signed kind a type of its own', () => {
    expect(new Set(Object.values(SIGNED)).size).toBe(Object.keys(SIGNED).length);
  });

  it('look codes up without reaching a prototype', () => {
    expect(isReason('permitted')).toBe(true);
    expect(isReason('toString')).toBe(false);
    expect(isWireErrorCode('__proto__')).toBe(false);
    for (const sentence of Object.values(REASONS)) expect(sentence).toMatch(/^[A-Z].*\.$/);
  });

  it('fill in a CloudEvent', () => {
    expect(
      makeCloudEvent(
        'revocation.revoked',
        { id: '1', source: 'revocation', time: '2026-01-01T00:00:00Z' },
        { a: 1 },
      ),
    ).toEqual({
      specversion: '1.0',
      id: '1',
      source: 'revocation',
      type: 'dev.remit.revocation.revoked.v1',
      time: '2026-01-01T00:00:00Z',
      datacontenttype: 'application/json',
      dataschema: 'urn:remit:schema:revocation.revoked:1',
      data: { a: 1 },
    });
  });
});
