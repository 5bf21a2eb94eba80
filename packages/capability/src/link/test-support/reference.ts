/**
 * A second verifier of chains, written from the model alone and deliberately naive: it shares no code
 * with the first, reads JOSE with jose, and decides whether one scope lies in another by trying every
 * operation of a small world. Only for scopes out of that world.
 */
import { createHash } from 'node:crypto';
import { calculateJwkThumbprint, compactVerify, importJWK, type JWK } from 'jose';
import {
  naiveAdmits,
  naiveLocal,
  type WrittenOperation,
  type WrittenPermission,
} from '../../scope/test-support/naive.ts';

const MAX_TEXT = 12_288;
const ALGORITHMS = ['ES256', 'Ed25519'];

const ACTIONS = ['s.read', 's.rate', 's.other', 'o.create', 'x.y'];
const RESOURCES = ['erp/s/S-1', 'erp/s/S-2', 'erp/s/S-9', 'erp/s/a/b', 'erp/S-1', 'erp/o', 'erp/q'];
/** Every way to give or leave out three arguments: what two boxes split between them must show. */
const ARGS = [{}, ...[5, 10, 15, 20, 50, 51].map((amount) => ({ amount }))].flatMap((amount) =>
  [{}, { note: 'n' }].flatMap((note) =>
    [{}, { other: 1 }].map((other) => ({ ...amount, ...note, ...other })),
  ),
);
/** Every operation that there is. */
const WORLD: readonly WrittenOperation[] = ACTIONS.flatMap((action) =>
  RESOURCES.flatMap((resource) => ARGS.map((args) => ({ action, resource, args }))),
);

/** What of the world a list of permissions admits, and what of that without asking anybody. */
interface Reach {
  readonly admitted: ReadonlySet<number>;
  readonly local: ReadonlySet<number>;
}

const remembered = new Map<string, Reach>();

function reachOf(permission: WrittenPermission): Reach {
  const key = JSON.stringify(permission);
  const known = remembered.get(key);
  if (known) return known;
  const where = (test: (operation: WrittenOperation) => boolean) =>
    new Set(WORLD.flatMap((operation, at) => (test(operation) ? [at] : [])));
  const reach = {
    admitted: where((operation) => naiveAdmits([permission], operation)),
    local: where((operation) => naiveLocal([permission], operation)),
  };
  remembered.set(key, reach);
  return reach;
}

export function worldOf(permissions: readonly WrittenPermission[]): Reach {
  const reaches = permissions.map(reachOf);
  return {
    admitted: new Set(reaches.flatMap(({ admitted }) => [...admitted])),
    local: new Set(reaches.flatMap(({ local }) => [...local])),
  };
}

function lies(inner: Reach, outer: Reach): boolean {
  return inner.admitted.isSubsetOf(outer.admitted) && inner.local.isSubsetOf(outer.local);
}

/** One permission that matters, with one action and one resource that are names. */
function isSingle(permissions: readonly WrittenPermission[]): boolean {
  const useful = permissions.filter((one) => reachOf(one).admitted.size > 0);
  const widest = useful.filter(
    (one, at) =>
      !useful.some((other, i) => {
        const inside = lies(reachOf(one), reachOf(other));
        return i !== at && inside && (!lies(reachOf(other), reachOf(one)) || i < at);
      }),
  );
  const [only] = widest;
  if (only === undefined || widest.length !== 1) return false;
  return [only.actions, only.resources].every(
    (names) => new Set(names).size === 1 && !names[0]?.includes('*'),
  );
}

export interface Verdict {
  readonly actors: readonly { readonly sub: string; readonly jkts: readonly string[] }[];
  readonly lineage: readonly string[];
  readonly id: string;
  readonly exp: number;
  readonly nbf: number;
  readonly jkt: string;
  readonly permissions: readonly WrittenPermission[];
}

type Json = Record<string, unknown>;

class Refused extends Error {}

function must(holds: unknown, what: string): asserts holds {
  if (!holds) throw new Refused(what);
}

function bytesIn(text: unknown, what: string): Buffer {
  must(typeof text === 'string', `${what} is a text`);
  const bytes = Buffer.from(text, 'base64url');
  must(bytes.toString('base64url') === text, `${what} is base64url`);
  return bytes;
}

function objectIn(text: string | undefined, what: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(bytesIn(text, what).toString('utf8'));
  } catch {
    throw new Refused(`${what} is JSON`);
  }
  must(typeof value === 'object' && value !== null && !Array.isArray(value), `${what}: object`);
  return value as Json;
}

const same = (names: readonly string[], object: Json) =>
  JSON.stringify(Object.keys(object).toSorted()) === JSON.stringify(names.toSorted());

const whole = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

const KEY_MEMBERS: Record<string, readonly string[]> = {
  ES256: ['kty', 'crv', 'x', 'y'],
  Ed25519: ['kty', 'crv', 'x'],
};

/** The key that a link says it is signed with, and its thumbprint; whether it is signed is seen last. */
async function readSigner(link: string) {
  const [head, , signature, ...more] = link.split('.');
  must(signature !== undefined && more.length === 0, 'three parts');
  bytesIn(signature, 'signature');
  const header = objectIn(head, 'header');
  must(same(['alg', 'jwk', 'typ'], header), 'header of alg, jwk, typ');
  must(
    String(header['typ'])
      .toLowerCase()
      .replace(/^application\//, '') === 'remit-link+jwt',
    'typ',
  );
  const alg = String(header['alg']);
  must(ALGORITHMS.includes(alg), 'alg');
  const jwk = header['jwk'] as Json;
  must(typeof jwk === 'object' && jwk !== null, 'jwk');
  must(same(KEY_MEMBERS[alg] as string[], jwk), 'the public key alone');
  return { alg, jwk: jwk as JWK, jkt: await calculateJwkThumbprint(jwk) };
}

async function mustBeSigned(link: string, signer: { alg: string; jwk: JWK }): Promise<void> {
  try {
    await compactVerify(link, await importJWK(signer.jwk, signer.alg), { algorithms: ALGORITHMS });
  } catch {
    throw new Refused('signature');
  }
}

const isPermission = (value: unknown): value is WrittenPermission => {
  const one = value as Partial<WrittenPermission> | null;
  return (
    typeof one === 'object' &&
    one !== null &&
    Array.isArray(one.actions) &&
    Array.isArray(one.resources) &&
    (one.args === 'any' || Array.isArray(one.args)) &&
    Object.keys(one).every((name) =>
      ['actions', 'resources', 'args', 'constraints', 'check'].includes(name),
    )
  );
};

function readClaims(link: string) {
  const claims = objectIn(link.split('.')[1], 'claims');
  must(same(['cnf', 'exp', 'iat', 'jti', 'permissions', 'prev'], claims), 'closed claims');
  const { cnf, exp, iat, jti, permissions, prev } = claims;
  must(typeof cnf === 'object' && cnf !== null && same(['jkt'], cnf as Json), 'cnf');
  const { jkt } = cnf as { jkt: string };
  must(bytesIn(jkt, 'jkt').length === 32, 'jkt');
  must(bytesIn(jti, 'jti').length === 16, 'jti');
  must(whole(exp) && whole(iat) && iat < exp, 'times');
  must(Array.isArray(permissions) && permissions.every(isPermission), 'permissions');
  return { jkt, exp, iat, prev, jti: String(jti), permissions };
}

type TokenClaims = {
  links?: true;
  cnf?: { jkt?: string };
  jti: string;
  exp: number;
  nbf: number;
  iat: number;
  act: { sub: string; act?: TokenClaims['act'] };
  lineage: string[];
  depth: { used: number; max: number };
  authorization_details: (WrittenPermission & { type: string })[];
  may_act?: { actors: { sub: string; jkt: string; permissions: WrittenPermission[] }[] };
};

function actorsIn(act: TokenClaims['act'] | undefined): string[] {
  return act === undefined ? [] : [...actorsIn(act.act), act.sub];
}

/** Verifies a chain whose token is the issuer's. Undefined: refused. */
export async function verifyByTheBook(text: string): Promise<Verdict | undefined> {
  try {
    return await verify(text);
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}

async function verify(text: string): Promise<Verdict> {
  must(text.length <= MAX_TEXT, 'size');
  const [token = '', ...links] = text.split('~');
  const claims = objectIn(token.split('.')[1], 'token') as unknown as TokenClaims;
  must(links.length > 0, 'there is a link');
  must(claims.links === true, 'links');
  must(claims.cnf?.jkt !== undefined, 'bound by DPoP');
  must(claims.depth.used + links.length <= claims.depth.max, 'depth');

  let jkt = claims.cnf.jkt;
  let { exp, nbf, iat, jti } = claims;
  let permissions: WrittenPermission[] = claims.authorization_details.map(
    ({ type: _type, ...permission }) => permission,
  );
  const lineage = [...claims.lineage];
  const actors = actorsIn(claims.act).map((sub) => ({ sub, jkts: [] as string[] }));
  actors.at(-1)?.jkts.push(jkt);
  const named = claims.may_act?.actors ?? [];

  for (const [at, link] of links.entries()) {
    const signer = await readSigner(link);
    const next = readClaims(link);
    const before = `${[token, ...links.slice(0, at)].join('~')}~`;
    must(signer.jkt === jkt, 'the key of the element before');
    must(next.prev === createHash('sha256').update(before).digest('base64url'), 'prev');
    await mustBeSigned(link, signer);
    must(next.exp <= exp && next.iat >= iat, 'times');
    must(lies(worldOf(next.permissions), worldOf(permissions)), 'within');
    const actor = named.find((entry) => entry.jkt === next.jkt);
    if (actor) {
      must(!actors.some(({ sub }) => sub === actor.sub), 'no actor twice');
      must(lies(worldOf(next.permissions), worldOf(actor.permissions)), 'within its entry');
      const given = worldOf(permissions).admitted.difference(worldOf(next.permissions).admitted);
      must(given.size > 0 || (isSingle(permissions) && next.exp < exp), 'narrower');
      actors.push({ sub: actor.sub, jkts: [] });
    }
    actors.at(-1)?.jkts.push(next.jkt);
    lineage.push(jti);
    ({ jkt, exp, iat } = next);
    const name = createHash('sha256').update(`${next.prev}.${next.jti}`).digest();
    jti = name.subarray(0, 16).toString('base64url');
    nbf = Math.max(nbf, iat);
    permissions = next.permissions;
  }
  return { actors, lineage, id: jti, exp, nbf, jkt, permissions };
}
