import type { Capability } from '../../token/index.ts';
import { NOW } from '../../token/test-support/fixtures.ts';
import { type Draft, encode, hashOf, keyAt, randomId, TOKEN_ID } from './chains.ts';

/** Something that somebody does to a good chain. */
export type Tampering =
  /** To one link before it is signed; those behind it follow what came out. */
  | { readonly name: string; readonly link: (draft: Draft, seed: number) => Draft }
  /** To one link after it is signed, with those behind it left as they were. */
  | { readonly name: string; readonly text: (link: string, seed: number) => string }
  /** To the elements of the chain as text; `other` are the links of another chain of the same keys. */
  | {
      readonly name: string;
      readonly chain: (links: string[], at: number, other: readonly string[]) => string[];
    }
  /** To what the issuer said. */
  | { readonly name: string; readonly token: (token: Capability) => Capability };

const claims =
  (change: (claims: Draft['claims'], seed: number) => object) =>
  (draft: Draft, seed: number): Draft => ({
    ...draft,
    claims: { ...draft.claims, ...change(draft.claims, seed) },
  });
const header =
  (change: (header: Draft['header'], draft: Draft, seed: number) => object) =>
  (draft: Draft, seed: number): Draft => ({
    ...draft,
    header: { ...draft.header, ...change(draft.header, draft, seed) },
  });
const one = <T>(list: readonly T[], seed: number): T => list[seed % list.length] as T;

function without(draft: Draft, part: 'claims' | 'header', name: string): Draft {
  const { [name]: _, ...rest } = draft[part];
  return { ...draft, [part]: rest };
}

function flipped(text: string, seed: number): string {
  const at = seed % text.length;
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
}

const STRANGE = [null, '', 'x', 1, -1, 1.5, true, [], {}, 'A'.repeat(43), 'A'.repeat(22)];
const NAMES = ['prev', 'jti', 'iat', 'exp', 'cnf', 'permissions'];
const WIDER = [{ actions: ['**'], resources: ['erp/**'], args: 'any' }];
const NOT_PERMISSIONS = [{}, 'any', [{}], [{ ...WIDER[0], more: 1 }], [{ actions: ['s.read'] }]];

export const TAMPERINGS: readonly Tampering[] = [
  { name: 'a claim that is missing', link: (d, seed) => without(d, 'claims', one(NAMES, seed)) },
  { name: 'a claim beside the six', link: claims(() => ({ act: { sub: 'agent-9' } })) },
  {
    name: 'a claim of another form',
    link: claims((_, seed) => ({ [one(NAMES, seed)]: one(STRANGE, Math.trunc(seed / 7)) })),
  },
  { name: 'another prev', link: claims(() => ({ prev: hashOf('other') })) },
  {
    name: 'a prev without the separator',
    link: claims(({ prev }) => ({ prev: hashOf(String(prev)) })),
  },
  { name: 'an id of the token', link: claims(() => ({ jti: TOKEN_ID })) },
  { name: 'a short id', link: claims(() => ({ jti: randomId().slice(0, 20) })) },
  { name: 'a later end', link: claims((_, seed) => ({ exp: NOW + 301 + (seed % 9) })) },
  { name: 'an end before the beginning', link: claims(({ iat }) => ({ exp: iat })) },
  { name: 'an earlier beginning', link: claims((_, seed) => ({ iat: NOW - 1 - (seed % 9) })) },
  { name: 'a wider scope', link: claims(() => ({ permissions: WIDER })) },
  {
    name: 'no permissions at all',
    link: claims((_, seed) => ({ permissions: one(NOT_PERMISSIONS, seed) })),
  },
  {
    name: 'a second confirmation',
    link: claims((c) => ({ cnf: { ...(c['cnf'] as object), kid: 'x' } })),
  },
  {
    name: 'another type',
    link: header((_, __, seed) => ({ typ: one(['at+jwt', 'dpop+jwt', 'JWT', '', null], seed) })),
  },
  { name: 'the type as a media type', link: header(() => ({ typ: 'application/Remit-Link+JWT' })) },
  {
    name: 'another algorithm',
    link: header((_, __, seed) => ({
      alg: one(['none', 'HS256', 'EdDSA', 'ES384', 'ML-DSA-65'], seed),
    })),
  },
  {
    name: 'the algorithm of another key',
    link: header(({ alg }) => ({ alg: alg === 'ES256' ? 'Ed25519' : 'ES256' })),
  },
  { name: 'a critical parameter', link: header(() => ({ crit: ['exp'], exp: 1 })) },
  { name: 'a key id beside the key', link: header(() => ({ kid: 'x' })) },
  { name: 'no key', link: (d) => without(d, 'header', 'jwk') },
  { name: 'the private key', link: header((_, { key }) => ({ jwk: key.privateJwk })) },
  {
    name: 'a key with more in it',
    link: header((_, { key }) => ({ jwk: { ...key.jwk, use: 'sig' } })),
  },
  { name: 'another key in the header', link: header((_, __, seed) => ({ jwk: keyAt(seed).jwk })) },
  {
    name: 'another key that also signs',
    link: (draft, seed) => {
      const key = keyAt(seed);
      return { ...draft, key, header: { ...draft.header, alg: key.alg, jwk: key.jwk } };
    },
  },
  {
    name: 'another key signs in its name',
    link: (draft, seed) => ({ ...draft, key: keyAt(seed) }),
  },
  { name: 'a character that changed', text: flipped },
  {
    name: 'a blank in it',
    text: (link, seed) => `${link.slice(0, seed % 99)} ${link.slice(seed % 99)}`,
  },
  { name: 'a part too many', text: (link) => `${link}.AAAA` },
  { name: 'a part too few', text: (link) => link.slice(0, link.lastIndexOf('.')) },
  { name: 'padding', text: (link) => `${link}=` },
  {
    name: 'other claims under its signature',
    text: (link, seed) => {
      const [head, body, signature] = link.split('.');
      const read = JSON.parse(Buffer.from(body ?? '', 'base64url').toString()) as object;
      return `${head}.${encode({ ...read, exp: NOW + (seed % 300) })}.${signature}`;
    },
  },
  { name: 'a link that is dropped', chain: (links, at) => links.toSpliced(at, 1) },
  { name: 'a link twice', chain: (links, at) => links.toSpliced(at, 0, links[at] as string) },
  { name: 'links in another order', chain: (links) => links.toReversed() },
  {
    name: 'a link of another chain in its place',
    chain: (links, at, other) => links.toSpliced(at, 1, one(other, at)),
  },
  { name: 'the links of another chain', chain: (_, __, other) => [...other] },
  {
    name: 'a link of another chain behind it',
    chain: (links, _, other) => [...links, ...other.slice(-1)],
  },
  { name: 'an end that is empty', chain: (links) => [...links, ''] },
  { name: 'an element that is empty', chain: (links, at) => links.toSpliced(at, 0, '') },
  { name: 'more than 12 KB', chain: (links) => [...links, 'A'.repeat(12_289)] },
  { name: 'no links', chain: () => [] },
  { name: 'a token that may not be handed on', token: (token) => ({ ...token, links: false }) },
  {
    name: 'a token that is bound to nobody',
    token: ({ confirmation: _confirmation, ...token }) => token,
  },
  {
    name: 'a token that is bound to a certificate',
    token: (token) => ({ ...token, confirmation: { x5tS256: 'A'.repeat(43) } }),
  },
  {
    name: 'a token whose depth is used up',
    token: (token) => ({ ...token, depth: { used: token.depth.used, max: token.depth.used } }),
  },
];
