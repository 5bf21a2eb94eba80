import type { Scope } from '../scope/index.ts';
import { closedClaim, count, digest, distinct, id, list, malformed, text } from './claims.ts';
import { fromAuthorizationDetails, readScope } from './details.ts';
import { TokenError } from './errors.ts';
import { isRecord, type JsonRecord } from './jws.ts';

/** Seconds: a token lives 5 minutes by default and never longer than this. */
export const MAX_TTL_SECONDS = 900;
/** Hops from the first token, over the issuer and offline. */
export const MAX_DEPTH = 8;

/** The key that a holder must prove: by DPoP (RFC 9449) or by its certificate (RFC 8705). */
export type Confirmation = { readonly jkt: string } | { readonly x5tS256: string };

export interface Budget {
  readonly id: string;
  readonly unit: string;
  readonly path?: string;
}

export interface NextActor {
  readonly sub: string;
  readonly jkt: string;
  readonly scope: Scope;
}

/** The claims of a capability token, read. */
export interface Capability {
  readonly issuer: string;
  readonly audience: string;
  readonly id: string;
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  readonly notBefore: number;
  readonly expiresAt: number;
  /** The launching principal. */
  readonly subject: string;
  /** Agents, the originating one first, the current one last. */
  readonly actors: readonly string[];
  readonly clientId: string;
  readonly tenant: string;
  readonly task: { readonly id: string; readonly type: string; readonly purpose?: string };
  readonly scope: Scope;
  /** Ids of all ancestors, oldest first. */
  readonly lineage: readonly string[];
  readonly depth: { readonly used: number; readonly max: number };
  readonly rev: { readonly epoch: string; readonly seq: number };
  readonly status: { readonly idx: number; readonly uri: string };
  readonly policy: { readonly version: string; readonly decision: string };
  /** Absent in a bearer token. */
  readonly confirmation?: Confirmation;
  readonly singleUse?: string;
  readonly budgets?: readonly Budget[];
  readonly mayAct?: readonly NextActor[];
  /** The holder may hand on parts offline. */
  readonly links: boolean;
  readonly approval?: string;
}

/** The claims of a token that is about to be registered, which gives it its place in a status list. */
export type NewCapability = Omit<Capability, 'status'>;

/** Outermost is now (RFC 8693 section 4.1); read to origin first. */
function readActors(value: unknown): readonly string[] {
  const actors: string[] = [];
  let act = value;
  while (act !== undefined) {
    if (actors.length > MAX_DEPTH) throw malformed('act', 'nested too deeply');
    const claim = closedClaim(act, 'act', ['sub'], ['act']);
    actors.push(text(claim['sub'], 'act.sub'));
    act = claim['act'];
  }
  return distinct(actors.toReversed(), 'act');
}

function readTimes(payload: JsonRecord) {
  const issuedAt = count(payload['iat'], 'iat');
  const notBefore = count(payload['nbf'], 'nbf');
  const expiresAt = count(payload['exp'], 'exp');
  if (expiresAt <= issuedAt || expiresAt <= notBefore) {
    throw malformed('exp', 'not after iat and nbf');
  }
  if (expiresAt - issuedAt > MAX_TTL_SECONDS) {
    throw new TokenError('TTL_TOO_LONG', `lives longer than ${MAX_TTL_SECONDS} seconds`, {
      claim: 'exp',
    });
  }
  return { issuedAt, notBefore, expiresAt };
}

function readTask(value: unknown): Capability['task'] {
  const task = closedClaim(value, 'task', ['id', 'type'], ['purpose']);
  const read = { id: id(task['id'], 'task.id'), type: text(task['type'], 'task.type') };
  if (task['purpose'] === undefined) return read;
  return { ...read, purpose: text(task['purpose'], 'task.purpose', 512) };
}

function readStatus(value: unknown): Capability['status'] {
  const { status_list: inner } = closedClaim(value, 'status', ['status_list']);
  const entry = closedClaim(inner, 'status.status_list', ['idx', 'uri']);
  return { idx: count(entry['idx'], 'status.idx'), uri: text(entry['uri'], 'status.uri', 2048) };
}

function readConfirmation(value: unknown): Confirmation {
  const cnf = closedClaim(value, 'cnf', [], ['jkt', 'x5t#S256']);
  if (Object.keys(cnf).length !== 1) throw malformed('cnf', 'exactly one key is expected');
  return Object.hasOwn(cnf, 'jkt')
    ? { jkt: digest(cnf['jkt'], 'cnf.jkt') }
    : { x5tS256: digest(cnf['x5t#S256'], 'cnf.x5t#S256') };
}

function readChain(payload: JsonRecord, own: string, actors: readonly string[]) {
  const ids = list(payload['lineage'], 'lineage', MAX_DEPTH).map((one) => id(one, 'lineage'));
  const lineage = distinct(ids, 'lineage');
  if (lineage.includes(own)) throw malformed('lineage', 'the token is its own ancestor');
  const claim = closedClaim(payload['depth'], 'depth', ['used', 'max']);
  const max = count(claim['max'], 'depth.max', MAX_DEPTH);
  const used = count(claim['used'], 'depth.used', max);
  // Each hop leaves one id, and names at most one new actor: the depth is counted, not believed.
  if (used !== lineage.length) throw malformed('depth', 'not the length of the lineage');
  if (actors.length > used + 1) throw malformed('act', 'more actors than hops');
  return { lineage, depth: { used, max } };
}

function readBudget(value: unknown): Budget {
  const budget = closedClaim(value, 'budgets', ['id', 'unit'], ['path']);
  const read = { id: id(budget['id'], 'budgets.id'), unit: text(budget['unit'], 'budgets.unit') };
  if (budget['path'] === undefined) return read;
  return { ...read, path: text(budget['path'], 'budgets.path', 512) };
}

function readMayAct(value: unknown): readonly NextActor[] {
  const { actors } = closedClaim(value, 'may_act', ['actors']);
  const named = list(actors, 'may_act.actors', 16).map((one) => {
    const actor = closedClaim(one, 'may_act.actors', ['sub', 'jkt', 'permissions']);
    return {
      sub: text(actor['sub'], 'may_act.sub'),
      jkt: digest(actor['jkt'], 'may_act.jkt'),
      scope: readScope(actor['permissions'], 'may_act.permissions'),
    };
  });
  // A link names an actor by its key alone, so a key must not stand for two.
  distinct(
    named.map(({ jkt }) => jkt),
    'may_act.jkt',
  );
  return named;
}

function readRestrictions(payload: JsonRecord) {
  const { cnf, single_use: singleUse, budgets, may_act: mayAct, links, approval } = payload;
  if (links !== undefined && links !== true) throw malformed('links', 'true is the only value');
  return {
    links: links === true,
    ...(cnf !== undefined && { confirmation: readConfirmation(cnf) }),
    ...(singleUse !== undefined && { singleUse: id(singleUse, 'single_use') }),
    ...(budgets !== undefined && { budgets: list(budgets, 'budgets', 16).map(readBudget) }),
    ...(mayAct !== undefined && { mayAct: readMayAct(mayAct) }),
    ...(approval !== undefined && { approval: text(approval, 'approval') }),
  };
}

/**
 * Reads the claims of a token whose signature was verified (RFC 9068 section 2.2, RFC 8693 section
 * 4.1, RFC 9396, RFC 7800).
 *
 * Checks presence, type and size of every claim; that `aud` is one string; that times are whole
 * seconds and `exp` is at most 15 minutes after `iat`; that the actors are distinct and bounded, and
 * that the depth is the length of the lineage. Unknown top-level claims are ignored (RFC 7519 section
 * 4); an unknown member inside any object that restricts is refused.
 *
 * Doesn't check the signature, the issuer, the audience, the time, the binding or revocation.
 *
 * @throws TokenError TOKEN_MALFORMED (with `context.claim`), TTL_TOO_LONG
 */
export function readCapability(payload: unknown): Capability {
  if (!isRecord(payload)) throw malformed('(all)', 'an object is expected');
  const own = id(payload['jti'], 'jti');
  const actors = readActors(payload['act']);
  if (actors.length === 0) throw malformed('act', 'an object is expected');
  const rev = closedClaim(payload['rev'], 'rev', ['epoch', 'seq']);
  const policy = closedClaim(payload['policy'], 'policy', ['version', 'decision']);
  return Object.freeze({
    issuer: text(payload['iss'], 'iss', 2048),
    audience: text(payload['aud'], 'aud', 2048),
    id: own,
    ...readTimes(payload),
    subject: text(payload['sub'], 'sub'),
    actors,
    clientId: text(payload['client_id'], 'client_id'),
    tenant: text(payload['tenant'], 'tenant', 31),
    task: readTask(payload['task']),
    scope: fromAuthorizationDetails(payload['authorization_details']),
    ...readChain(payload, own, actors),
    rev: { epoch: id(rev['epoch'], 'rev.epoch'), seq: count(rev['seq'], 'rev.seq') },
    status: readStatus(payload['status']),
    policy: {
      version: text(policy['version'], 'policy.version'),
      decision: id(policy['decision'], 'policy.decision'),
    },
    ...readRestrictions(payload),
  });
}
