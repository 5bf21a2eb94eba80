import { describe, expect, it } from 'vitest';
import { scope } from '../scope/index.ts';
import {
  CAPABILITY_TYPE,
  type Capability,
  capabilityPayload,
  checkAudience,
  checkBinding,
  checkIssuer,
  checkTimes,
  readCapability,
} from './index.ts';
import { AUDIENCE, capability, ISSUER, NOW, refused } from './test-support/fixtures.ts';

type Payload = Record<string, unknown>;
const DIGEST = 'B'.repeat(43);
const FULL: Partial<Capability> = {
  actors: ['procurement-agent', 'risk-analyst'],
  lineage: ['jti-parent'],
  depth: { used: 1, max: 8 },
  task: { id: 'task_1', type: 'supplier-risk-summary', purpose: 'Quarterly review' },
  singleUse: 'use-1',
  budgets: [
    { id: 'b1', unit: 'EUR', path: 'amount' },
    { id: 'b2', unit: 'calls' },
  ],
  mayAct: [{ sub: 'summariser', jkt: DIGEST, scope: scope([]) }],
  links: true,
  approval: 'approval-1',
  confirmation: { x5tS256: DIGEST },
};

const payload = (changed: Partial<Capability> = {}): Payload => ({
  ...capabilityPayload(capability(changed)),
});
const read = (changed: Payload) => readCapability({ ...payload(), ...changed });
const without = (name: string) => {
  const { [name]: _, ...rest } = payload();
  return rest;
};

describe('the claims of a capability', () => {
  it.each([
    ['the least', {}],
    ['a bearer token', { confirmation: undefined }],
    ['everything', FULL],
  ])('are read back as they were written: %s', (_, changed) => {
    const { confirmation, ...rest } = capability(changed as Partial<Capability>);
    const whole = confirmation === undefined ? rest : { ...rest, confirmation };
    const written = JSON.parse(JSON.stringify(capabilityPayload(whole)));
    expect(readCapability(written)).toEqual(whole);
  });

  it('nest the actors with the current one outermost', () => {
    expect(payload(FULL)['act']).toEqual({
      sub: 'risk-analyst',
      act: { sub: 'procurement-agent' },
    });
  });

  it('stand on the wire as the RFCs spell them', () => {
    expect(payload()).toMatchObject({
      client_id: 'procurement-agent',
      status: { status_list: { idx: 12, uri: 'https://revocation.test/t/acme/status/1' } },
      authorization_details: [
        {
          type: 'urn:remit:capability:1',
          actions: ['suppliers.read'],
          resources: ['erp/suppliers/*'],
          args: ['fields'],
        },
        { type: 'urn:remit:capability:1', check: 'online' },
      ],
    });
    expect(payload(FULL)['cnf']).toEqual({ 'x5t#S256': DIGEST });
  });

  it('may be joined by claims that this version does not know', () => {
    expect(read({ scope: 'openid', 'urn:example:new': { a: 1 } }).subject).toBe('alice');
  });

  it.each([
    'iss',
    'aud',
    'jti',
    'iat',
    'nbf',
    'exp',
    'sub',
    'act',
    'client_id',
    'tenant',
    'task',
    'authorization_details',
    'lineage',
    'depth',
    'rev',
    'status',
    'policy',
  ])('must have %s', (name) => {
    expect(refused(() => readCapability(without(name))).code).toBe('TOKEN_MALFORMED');
    for (const wrong of [null, 7.5, true, [[]], { x: 1 }, '', '\u0000', 'x'.repeat(5000)]) {
      const { code } = refused(() => read({ [name]: wrong }));
      expect(code, `${name}: ${JSON.stringify(wrong).slice(0, 20)}`).toBe('TOKEN_MALFORMED');
    }
  });

  it.each([
    ['an audience list with ours inside', { aud: [AUDIENCE, 'https://evil.test'] }],
    ['an audience list of one', { aud: [AUDIENCE] }],
    ['a time as text', { exp: String(NOW + 300) }],
    ['a fraction of a second', { exp: NOW + 300.5 }],
    ['a negative time', { iat: -1 }],
    ['a huge time', { exp: 1e308 }],
    ['an end before the start', { exp: NOW - 1 }],
    ['an end before nbf', { nbf: NOW + 301 }],
    ['act as text', { act: 'procurement-agent' }],
    ['act as list', { act: [{ sub: 'a' }] }],
    ['act without sub', { act: { act: { sub: 'a' } } }],
    ['a nested act that is text', { act: { sub: 'a', act: 'b' } }],
    ['a nested act that is null', { act: { sub: 'a', act: null } }],
    ['an unknown member of act', { act: { sub: 'a', role: 'admin' } }],
    [
      'an actor twice',
      { act: { sub: 'a', act: { sub: 'a' } }, lineage: ['j'], depth: { used: 1, max: 3 } },
    ],
    ['more actors than hops', { act: { sub: 'b', act: { sub: 'a' } } }],
    ['a depth that was reset', { lineage: ['j'], depth: { used: 0, max: 3 } }],
    ['a depth beyond its max', { lineage: ['j', 'k'], depth: { used: 2, max: 1 } }],
    ['a max beyond eight', { depth: { used: 0, max: 9 } }],
    ['a depth that overflows', { depth: { used: 2 ** 53, max: 2 ** 53 } }],
    ['a lineage with a repeated id', { lineage: ['j', 'j'], depth: { used: 2, max: 3 } }],
    [
      'its own id in the lineage',
      { lineage: ['jti-0000000000000000000'], depth: { used: 1, max: 3 } },
    ],
    ['an unknown member of task', { task: { id: 'a', type: 'b', extra: 1 } }],
    ['an unknown member of depth', { depth: { used: 0, max: 3, unlimited: true } }],
    ['an unknown member of rev', { rev: { epoch: 'e', seq: 1, skip: true } }],
    ['an unknown status mechanism', { status: { status_list: { idx: 1, uri: 'u' }, other: {} } }],
    ['an unknown confirmation', { cnf: { jwk: {} } }],
    ['two confirmations', { cnf: { jkt: DIGEST, 'x5t#S256': DIGEST } }],
    ['an empty confirmation', { cnf: {} }],
    ['a null confirmation', { cnf: null }],
    ['a short thumbprint', { cnf: { jkt: 'abc' } }],
    ['links that is false', { links: false }],
    ['an unknown member of a budget', { budgets: [{ id: 'a', unit: 'EUR', max: 5 }] }],
    ['an unknown member of may_act', { may_act: { actors: [], any: true } }],
    ['null as single_use', { single_use: null }],
    ['details as object', { authorization_details: {} }],
    [
      'details of another type',
      {
        authorization_details: [
          { type: 'urn:remit:capability:2', actions: ['a'], resources: ['b'], args: [] },
        ],
      },
    ],
    [
      'details without type',
      { authorization_details: [{ actions: ['a'], resources: ['b'], args: [] }] },
    ],
    [
      'details with an unknown member',
      {
        authorization_details: [
          { type: CAPABILITY_TYPE, actions: ['a'], resources: ['b'], args: [], locations: [] },
        ],
      },
    ],
    [
      'details without args',
      { authorization_details: [{ type: CAPABILITY_TYPE, actions: ['a'], resources: ['b'] }] },
    ],
  ])('are refused for %s', (_, changed) => {
    const { code, message, claim } = refused(() => read(changed));
    expect(code).toBe('TOKEN_MALFORMED');
    expect(message).toContain(`claim ${claim}`);
  });

  it('are bounded in nesting: nine actors, then no more', () => {
    const nested = (count: number) => {
      let act: object | undefined;
      for (let i = 0; i < count; i += 1)
        act = act === undefined ? { sub: `a${i}` } : { sub: `a${i}`, act };
      const lineage = Array.from({ length: Math.min(count - 1, 8) }, (_, i) => `j${i}`);
      return { act, lineage, depth: { used: lineage.length, max: 8 } };
    };
    expect(read(nested(9)).actors).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8']);
    expect(refused(() => read(nested(10))).message).toContain('nested too deeply');
    expect(refused(() => read(nested(10_000))).message).toContain('nested too deeply');
  });

  it('give at most 15 minutes', () => {
    expect(read({ exp: NOW + 900 }).expiresAt).toBe(NOW + 900);
    expect(refused(() => read({ exp: NOW + 901 })).code).toBe('TTL_TOO_LONG');
    expect(refused(() => read({ exp: (NOW + 300) * 1000 })).code).toBe('TTL_TOO_LONG');
  });

  it('are not built when they would be refused', () => {
    expect(refused(() => capabilityPayload(capability({ expiresAt: NOW + 901 }))).code).toBe(
      'TTL_TOO_LONG',
    );
    expect(refused(() => capabilityPayload(capability({ actors: [] }))).code).toBe(
      'TOKEN_MALFORMED',
    );
  });
});

describe('the checks', () => {
  const token = capability();

  it.each([
    `${AUDIENCE}/`,
    'https://ERP.test',
    'https://erp.test.evil.test',
    'https://erp.tes',
    'http://erp.test',
    'https://erp.test:443',
    '',
    ' https://erp.test',
  ])('refuse the audience %j', (audience) => {
    checkAudience(token, AUDIENCE);
    expect(refused(() => checkAudience(token, audience)).code).toBe('AUDIENCE_MISMATCH');
  });

  it('refuse another issuer and another tenant', () => {
    checkIssuer(token, { issuer: ISSUER, tenant: 'acme' });
    expect(refused(() => checkIssuer(token, { issuer: `${ISSUER}/`, tenant: 'acme' })).code).toBe(
      'ISSUER_MISMATCH',
    );
    expect(refused(() => checkIssuer(token, { issuer: ISSUER, tenant: 'globex' })).code).toBe(
      'TENANT_MISMATCH',
    );
  });

  it('hold the times, with leeway only at the start', () => {
    const at = (now: number, leewaySeconds?: number) =>
      refused(() => checkTimes(token, now, leewaySeconds === undefined ? {} : { leewaySeconds }))
        .code;
    expect(at(NOW)).toBe('NOT_REFUSED');
    expect(at(NOW - 5)).toBe('NOT_REFUSED');
    expect(at(NOW - 6)).toBe('TOKEN_NOT_YET_VALID');
    expect(at(NOW - 1, 0)).toBe('TOKEN_NOT_YET_VALID');
    expect(at(NOW + 299.9)).toBe('NOT_REFUSED');
    expect(at(NOW + 300)).toBe('TOKEN_EXPIRED');
    expect(at(NOW + 300, 60)).toBe('TOKEN_EXPIRED');
    expect(() => checkTimes(token, Number.NaN)).toThrow(TypeError);
    expect(() => checkTimes(token, NOW, { leewaySeconds: 3600 })).toThrow(TypeError);
  });

  it('demand the key that the token is bound to', () => {
    const jkt = 'A'.repeat(43);
    checkBinding(token, { jkt });
    checkBinding({}, {});
    expect(refused(() => checkBinding(token, {})).code).toBe('DPOP_REQUIRED');
    expect(refused(() => checkBinding(token, { jkt: DIGEST })).code).toBe('DPOP_KEY_MISMATCH');
    const tls = { confirmation: { x5tS256: DIGEST } };
    checkBinding(tls, { x5tS256: DIGEST });
    expect(refused(() => checkBinding(tls, { jkt: DIGEST })).code).toBe('CERTIFICATE_MISMATCH');
    expect(refused(() => checkBinding(tls, { x5tS256: jkt })).code).toBe('CERTIFICATE_MISMATCH');
  });
});
