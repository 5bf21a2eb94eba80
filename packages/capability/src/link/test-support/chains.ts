/** Chains as an agent, or somebody who has some of its keys, could write them. */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import * as fc from 'fast-check';
import { scope } from '../../scope/index.ts';
import type { WrittenPermission } from '../../scope/test-support/naive.ts';
import { type Capability, capabilityPayload, jwkThumbprint } from '../../token/index.ts';
import { capability, NOW } from '../../token/test-support/fixtures.ts';

type Json = Record<string, unknown>;

export interface TestKey {
  readonly alg: 'ES256' | 'Ed25519';
  readonly jwk: Json;
  readonly privateJwk: Json;
  readonly jkt: string;
  sign(text: string): Buffer;
}

function newKey(alg: TestKey['alg']): TestKey {
  const { privateKey, publicKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('ed25519');
  const jwk: Json = { ...publicKey.export({ format: 'jwk' }) };
  return {
    alg,
    jwk,
    privateJwk: { ...privateKey.export({ format: 'jwk' }) },
    jkt: jwkThumbprint(jwk),
    sign: (text) =>
      alg === 'ES256'
        ? sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' })
        : sign(null, Buffer.from(text), privateKey),
  };
}

/** Key 0 holds the token; 1 to 3 may be named as actors; the others are anybody's. */
const KEYS: readonly TestKey[] = [
  newKey('ES256'),
  newKey('Ed25519'),
  newKey('ES256'),
  newKey('ES256'),
  newKey('Ed25519'),
  newKey('ES256'),
];
export const keyAt = (at: number): TestKey => KEYS[at % KEYS.length] as TestKey;

export const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
export const randomId = (): string => randomBytes(16).toString('base64url');
export const hashOf = (text: string): string =>
  createHash('sha256').update(text).digest('base64url');

/** A link before it is signed. */
export interface Draft {
  readonly header: Json;
  readonly claims: Json;
  readonly key: TestKey;
}

export function signDraft({ header, claims, key }: Draft): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${key.sign(signed).toString('base64url')}`;
}

export interface Hop {
  readonly to: number;
  readonly permissions: readonly WrittenPermission[];
  readonly iat: number;
  readonly exp: number;
}

/** A good link behind `text`, as far as its hop is good. */
export function draftOf(text: string, from: TestKey, hop: Hop): Draft {
  return {
    header: { alg: from.alg, typ: 'remit-link+jwt', jwk: from.jwk },
    claims: {
      prev: hashOf(`${text}~`),
      jti: randomId(),
      iat: hop.iat,
      exp: hop.exp,
      cnf: { jkt: keyAt(hop.to).jkt },
      permissions: hop.permissions,
    },
    key: from,
  };
}

/** The text of a token with these claims. Its signature is nobody's: only links are judged here. */
export function tokenText(of: Capability, more: Json = {}): string {
  return `${encode({ alg: 'ML-DSA-65' })}.${encode({ ...capabilityPayload(of), ...more })}.${encode('s')}`;
}

const ACTIONS = ['s.read', 's.rate', 's.*', 'o.create'];
const RESOURCES = ['erp/s/S-1', 'erp/s/S-2', 'erp/s/*', 'erp/s/**', 'erp/o'];
const ARG_LISTS = ['any', [], ['amount'], ['amount', 'note']] as const;

/** Permissions of the small world that the reference can try out whole. */
const permission: fc.Arbitrary<WrittenPermission> = fc
  .record({
    actions: fc.uniqueArray(fc.constantFrom(...ACTIONS), { minLength: 1, maxLength: 3 }),
    resources: fc.uniqueArray(fc.constantFrom(...RESOURCES), { minLength: 1, maxLength: 2 }),
    args: fc.constantFrom(...ARG_LISTS),
    max: fc.constantFrom(undefined, undefined, 10, 20, 50),
    online: fc.nat(4),
  })
  .map(({ actions, resources, args, max, online }) => ({
    actions,
    resources,
    args: args === 'any' ? args : [...args],
    ...(max === undefined ? {} : { constraints: { amount: { max } } }),
    ...(online === 0 ? { check: 'online' as const } : {}),
  }));
const permissions = fc.array(permission, { minLength: 1, maxLength: 2 });

const WIDE: WrittenPermission = {
  actions: ['s.*', 'o.create'],
  resources: ['erp/**'],
  args: 'any',
};

/** Mostly less than what it is made from, sometimes the same, seldom more. */
function lessOf(from: readonly WrittenPermission[], seed: number): WrittenPermission[] {
  const [first, ...rest] = from;
  if (first === undefined) return [];
  const { actions, resources, args, constraints } = first;
  const changed: WrittenPermission[] = [
    first,
    { ...first, actions: actions.slice(0, 1) },
    { ...first, resources: resources.slice(0, 1) },
    { ...first, actions: actions.map((one) => one.replace('s.*', 's.read')) },
    { ...first, resources: resources.map((one) => one.replace(/\*+$/, 'S-1')) },
    { ...first, args: args === 'any' ? ['amount'] : args.slice(0, 1) },
    { ...first, check: 'online' },
    { ...first, constraints: { amount: { max: 10 } } },
    { ...first, ...(constraints === undefined ? {} : { constraints: { amount: { max: 50 } } }) },
    { ...first, args: 'any' },
  ];
  const one = changed[seed % changed.length] as WrittenPermission;
  return seed % 3 === 0 ? [one, ...rest] : [one];
}

/** Of an issuer that draws its ids as links do. */
export const TOKEN_ID = 'dG9rZW4taWQtMDAwMDAwMA';

export interface Plan {
  readonly capability: Capability;
  readonly hops: readonly Hop[];
}

const READ: WrittenPermission = { actions: ['s.read'], resources: ['erp/s/*'], args: ['amount'] };
const READ_ONE: WrittenPermission = { ...READ, resources: ['erp/s/S-1'] };

function written(...hops: readonly (readonly [to: number, permission: WrittenPermission])[]): Plan {
  return {
    capability: capability({
      id: TOKEN_ID,
      links: true,
      scope: scope([WIDE]),
      confirmation: { jkt: keyAt(0).jkt },
      depth: { used: 0, max: 6 },
      mayAct: [1, 2].map((at) => ({
        sub: `agent-${at}`,
        jkt: keyAt(at).jkt,
        scope: scope([WIDE]),
      })),
    }),
    hops: hops.map(([to, one], at) => ({
      to,
      permissions: [one],
      iat: NOW + at,
      exp: NOW + 290 - at,
    })),
  };
}

/** Good, so that every tampering meets a chain that was; and two that break a rule of actors. */
export const GOOD = written([4, WIDE], [1, READ], [5, READ], [2, READ_ONE]);
export const CYCLE = written([1, READ], [4, READ], [1, READ_ONE]);
export const NOTHING_LESS = written([4, WIDE], [1, WIDE]);

/** A token and what its holders hand on: mostly good, as agents that know the rules would. */
export const plan: fc.Arbitrary<Plan> = fc
  .record({
    root: fc.oneof(
      { weight: 2, arbitrary: fc.constant([WIDE]) },
      { weight: 3, arbitrary: permissions },
    ),
    entries: fc.array(fc.oneof(fc.constant([WIDE]), permissions), { maxLength: 3 }),
    lineage: fc.nat(1),
    max: fc.constantFrom(1, 3, 6, 6, 6),
    hops: fc.array(
      fc.record({
        to: fc.constantFrom(0, 1, 1, 2, 3, 4, 5),
        less: fc.nat(59),
        later: fc.nat(3),
        sooner: fc.nat(20),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  })
  .map(({ root, entries, lineage, max, hops }) => {
    let text = root;
    let [iat, exp] = [NOW, NOW + 300];
    return {
      capability: capability({
        id: TOKEN_ID,
        links: true,
        scope: scope(root),
        confirmation: { jkt: keyAt(0).jkt },
        lineage: Array.from({ length: Math.min(lineage, max) }, () => randomId()),
        depth: { used: Math.min(lineage, max), max },
        mayAct: entries.map((entry, at) => ({
          sub: `agent-${at + 1}`,
          jkt: keyAt(at + 1).jkt,
          scope: scope(entry),
        })),
      }),
      hops: hops.map(({ to, less, later, sooner }) => {
        text = lessOf(text, less);
        iat += later;
        exp -= sooner;
        return { to, permissions: text, iat, exp };
      }),
    };
  });
