import type { History, Line, TokenSeen } from '../history.ts';

export type InvariantId = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8';
export type Violation = { invariant: InvariantId; t: number; says: string };

/** How late something may be seen before it counts. All in milliseconds. */
export type Bounds = {
  /** The PEPs' `maxStaleMs`. */
  maxStaleMs: number;
  /** What a PEP that hears the feed promises after the acknowledgement of a revocation. */
  promiseMs: number;
  /** Room for the harness itself. Its own measured lag is added. */
  slackMs: number;
  /** After a fault is healed, how long until good calls must be allowed everywhere. */
  recoverMs: number;
};

export const BOUNDS: Bounds = {
  maxStaleMs: 3_000,
  promiseMs: 1_000,
  slackMs: 250,
  recoverMs: 20_000,
};

export type Call = {
  call: string;
  pep: string;
  token: string;
  action: string;
  resource: string;
  startedAt: number;
  answeredAt?: number;
  /** When the tool worked. */
  workedAt?: number;
  /** `allow`, the reason of the refusal, or undefined when nobody knows. */
  answer?: string;
  decision?: string;
  /** Allowed: it was answered so, or the tool worked. */
  allowed: boolean;
};

export type Revocation = {
  what: string;
  id: string;
  askedAt: number;
  /** Undefined when it was never acknowledged. */
  acknowledgedAt?: number;
  epoch?: string;
  seq?: number;
};

export const REVOKED_REASONS: ReadonlySet<string> = new Set([
  'token_revoked',
  'task_revoked',
  'agent_revoked',
  'user_revoked',
  'client_revoked',
  'tenant_revoked',
  'key_revoked',
  'ancestor_revoked',
]);

export const of = <K extends Line['kind']>(history: History, kind: K) =>
  history.filter((line): line is Extract<Line, { kind: K }> => line.kind === kind);

/** Every call with what became of it. */
export function callsOf(history: History): Call[] {
  const calls = new Map<string, Call>();
  for (const line of of(history, 'call')) {
    if (line.phase === 'invoke') {
      const { call, pep, token, action, resource, t } = line;
      calls.set(call, { call, pep, token, action, resource, startedAt: t, allowed: false });
      continue;
    }
    const call = calls.get(line.call);
    if (!call || line.phase === 'info') continue;
    call.answeredAt = line.t;
    call.answer = line.answer;
    if (line.decision !== null) call.decision = line.decision;
    call.allowed ||= line.answer === 'allow';
  }
  for (const line of of(history, 'executed')) {
    const call = calls.get(line.call);
    if (!call) continue;
    call.allowed = true;
    call.workedAt = line.t;
    call.decision ??= line.decision;
  }
  return [...calls.values()];
}

export const tokensOf = (history: History): Map<string, TokenSeen> =>
  new Map(of(history, 'token').map((token) => [token.token, token]));

export function revocationsOf(history: History): Revocation[] {
  const revocations = new Map<string, Revocation>();
  for (const line of of(history, 'revoke')) {
    if (line.phase === 'invoke') {
      revocations.set(line.revoke, { what: line.what, id: line.id, askedAt: line.t });
      continue;
    }
    const revocation = revocations.get(line.revoke);
    if (!revocation || line.phase === 'info') continue;
    const { t: acknowledgedAt, epoch, seq } = line;
    Object.assign(revocation, { acknowledgedAt, epoch, seq });
  }
  return [...revocations.values()];
}

/**
 * Whether a revocation names a token. One of an agent or a user kills what was decided before it, told
 * by sequences of one epoch; an epoch that ends kills by itself. Without a sequence (it was never
 * acknowledged) it may have killed what it names.
 */
export function names(revocation: Revocation, token: TokenSeen): boolean {
  const { what, id, epoch, seq } = revocation;
  if (what === 'token') return token.token === id || token.lineage.includes(id);
  if (what === 'task') return token.task === id;
  const named = what === 'agent' ? token.agents.includes(id) : token.user === id;
  return named && (seq === undefined || (token.rev.epoch === epoch && token.rev.seq < seq));
}

/** Pairs of `begin` and `end`; what never ended lasts for ever. */
export function windows<L extends { t: number; phase: 'begin' | 'end' }>(
  lines: readonly L[],
  keyOf: (line: L) => string,
): { key: string; from: number; to: number }[] {
  const open = new Map<string, number>();
  const closed: { key: string; from: number; to: number }[] = [];
  for (const line of lines) {
    const key = keyOf(line);
    const from = open.get(key);
    if (line.phase === 'begin') {
      if (from === undefined) open.set(key, line.t);
    } else if (from !== undefined) {
      closed.push({ key, from, to: line.t });
      open.delete(key);
    }
  }
  for (const [key, from] of open) closed.push({ key, from, to: Number.POSITIVE_INFINITY });
  return closed;
}

/** How long processes of the harness stood still between two moments: their stamps are late by this. */
export function lagWithin(history: History, from: number, to: number): number {
  let sum = 0;
  for (const { t, ms } of of(history, 'lag')) if (t >= from && t - ms <= to) sum += ms;
  return sum;
}
