import { describe, expect, it } from 'vitest';
import { describeExcess, excess, meet, parseOperation, permits, scope, within } from './index.ts';
import { capabilityPayload, readCapability, verifyCapabilitySignature } from './token/index.ts';
import { capability, newSigner, refused } from './token/test-support/fixtures.ts';

// What users of other authorization layers ran into, as behaviour that must not come here.

const PAY = { actions: ['pay'], resources: ['erp/x'], args: 'any' };
const withAmount = (tests: object) => scope([{ ...PAY, constraints: { amount: tests } }]);
const asks = (of: ReturnType<typeof scope>, args: object, resource = 'erp/x') =>
  permits(of, parseOperation({ action: 'pay', resource, args })).ok;

describe('a scope, where others failed', () => {
  it('finds the arguments of a call: a rule on one refuses and admits', () => {
    const nested = scope([{ ...PAY, constraints: { 'order.amount': { max: 100 } } }]);
    expect(asks(nested, { order: { amount: 100 } })).toBe(true);
    expect(asks(nested, { order: { amount: 101 } })).toBe(false);
    expect(asks(nested, { amount: 1 })).toBe(false);
  });

  it('is the union of its permissions: one that admits nothing turns no other off', () => {
    const nothing = { ...PAY, constraints: { amount: { in: [] } } };
    expect(asks(scope([nothing, PAY]), {})).toBe(true);
    expect(asks(scope([PAY, nothing]), {})).toBe(true);
    expect(asks(scope([nothing]), { amount: 1 })).toBe(false);
    expect(asks(scope([]), {})).toBe(false);
  });

  it('is not narrowed by leaving a constraint out', () => {
    const bounded = withAmount({ max: 100 });
    expect(within(scope([PAY]), bounded)).toBe(false);
    expect(within(withAmount({}), bounded)).toBe(false);
    expect(within(withAmount({ min: 1 }), bounded)).toBe(false);
    expect(within(withAmount({ max: 100, optional: true }), bounded)).toBe(false);
  });

  it('reads an empty list as nothing, never as anything', () => {
    for (const tests of [{ in: [] }, { like: [] }, { hosts: [] }, { emails: [] }]) {
      expect(withAmount(tests).permissions, JSON.stringify(tests)).toEqual([]);
    }
    for (const side of [{ actions: [] }, { resources: [] }]) {
      expect(scope([{ ...PAY, ...side }]).permissions).toEqual([]);
    }
    expect(asks(scope([{ ...PAY, args: [] }]), { amount: 1 })).toBe(false);
  });

  it('names what was asked too much instead of clamping it', () => {
    const found = excess(withAmount({ max: 500 }), withAmount({ max: 100 }));
    expect(found).toMatchObject({ kind: 'constraint', path: 'amount' });
    expect(found && describeExcess(found)).not.toContain('100');
  });

  it('is compared by meaning: no deep equality, no prefix of a text', () => {
    const parent = scope([{ ...PAY, resources: ['erp/a', 'erp/b/*'], args: ['y', 'x'] }]);
    expect(within(scope([{ ...PAY, resources: ['erp/b/1'], args: ['x'] }]), parent)).toBe(true);
    expect(within(scope([{ ...PAY, resources: ['erp/ab'], args: [] }]), parent)).toBe(false);
    expect(within(scope([{ ...PAY, resources: ['erp/a/c'], args: [] }]), parent)).toBe(false);
  });

  it('does not join two permissions into one that neither is', () => {
    const two = scope([PAY, { actions: ['read'], resources: ['erp/y'], args: [] }]);
    expect(asks(two, {}, 'erp/y')).toBe(false);
    const both = meet(two, scope([{ actions: ['pay'], resources: ['erp/y'], args: [] }]));
    expect(both.ok && both.scope.permissions).toEqual([]);
  });

  it('takes no pattern whose matching explodes, and no path that a server would resolve', () => {
    for (const pattern of ['*a*b', '***', '**/a/**', '*(*(*(a|b)))', '{a,b}', 'erp/**/x']) {
      expect(() => scope([{ ...PAY, resources: [pattern] }]), pattern).toThrow(/not a pattern/);
    }
    for (const resource of [
      'erp/../hr',
      'erp/./x',
      'erp//x',
      'erp/%2e%2e/hr',
      'erp/x;y',
      'erp\\x',
    ]) {
      expect(() => parseOperation({ action: 'pay', resource }), resource).toThrow(/not a name/);
    }
  });

  it('is not passed by numbers of another kind', () => {
    const bounded = withAmount({ max: 100 });
    for (const amount of ['1', [1], { valueOf: 1 }, true, null]) {
      expect(asks(bounded, { amount }), JSON.stringify(amount)).toBe(false);
    }
    for (const amount of [Number.NaN, Number.NEGATIVE_INFINITY, 1n]) {
      expect(() => asks(bounded, { amount })).toThrow();
    }
  });
});

describe('a token, where others failed', () => {
  const PAYLOAD = capabilityPayload(capability());

  it('has actors that are objects all the way down, as many as its depth says', () => {
    const acts = [
      'mallory',
      ['mallory'],
      { sub: 'a', act: 'mallory' },
      { sub: 'a', act: [] },
      { sub: 'a', act: { sub: 'b', act: null } },
      {},
    ];
    for (const act of acts) {
      const code = refused(() => readCapability({ ...PAYLOAD, act })).code;
      expect(code, JSON.stringify(act)).toBe('TOKEN_MALFORMED');
    }
    for (const depth of [undefined, { used: 0 }, { used: 4, max: 3 }, { used: 0, max: 9 }]) {
      const code = refused(() => readCapability({ ...PAYLOAD, depth })).code;
      expect(code, JSON.stringify(depth)).toBe('TOKEN_MALFORMED');
    }
  });

  it('is for one audience, as one text', () => {
    for (const aud of [['https://erp.test'], ['https://erp.test', 'https://x.test'], '', null]) {
      expect(refused(() => readCapability({ ...PAYLOAD, aud })).code).toBe('TOKEN_MALFORMED');
    }
  });

  it('gives the claims that were signed, never ones that stand beside them', () => {
    const signer = newSigner('Ed25519');
    const good = signer.sign({ typ: 'at+jwt' }, PAYLOAD);
    const [protectedHeader, payload, signature] = good.split('.') as [string, string, string];
    const other = Buffer.from(JSON.stringify({ ...PAYLOAD, sub: 'mallory' })).toString('base64url');
    const forms = [
      JSON.stringify({
        protected: protectedHeader,
        payload,
        signature,
        claims: { sub: 'mallory' },
      }),
      JSON.stringify({ payload: other, signatures: [{ protected: protectedHeader, signature }] }),
      `${good}.${other}`,
      `${protectedHeader}.${other}.${payload}.${signature}`,
    ];
    for (const form of forms) {
      const call = () =>
        verifyCapabilitySignature(form, { keys: () => undefined, algorithms: ['Ed25519'] });
      expect(refused(call).code, form.slice(0, 30)).toBe('TOKEN_MALFORMED');
    }
  });
});
