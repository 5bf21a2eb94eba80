import type { History } from '../history.ts';
import {
  type Bounds,
  type Call,
  callsOf,
  lagWithin,
  names,
  of,
  REVOKED_REASONS,
  revocationsOf,
  tokensOf,
  type Violation,
  windows,
} from './model.ts';

/**
 * I2. No call is allowed that starts later than a bound after the acknowledgement of a revocation that
 * names its token: `promiseMs` when nothing was broken meanwhile, `maxStaleMs` always. A PEP
 * that has refused a token as revoked never allows it again. A token of an ended epoch is as dead.
 */
export function revokedIsRefused(history: History, bounds: Bounds): Violation[] {
  const tokens = tokensOf(history);
  const calls = callsOf(history);
  const faults = windows(of(history, 'fault'), ({ fault }) => fault);
  const deaths = deathsOf(history);
  const broken = (from: number, to: number): boolean =>
    faults.some((fault) => fault.from < to && fault.to + bounds.recoverMs > from);
  const found: Violation[] = [];

  for (const call of calls) {
    const token = tokens.get(call.token);
    if (!call.allowed || !token) continue;
    for (const { at, says } of deaths.get(token.token) ?? []) {
      const late = call.startedAt - at;
      if (late <= bounds.promiseMs) continue;
      const slack = bounds.slackMs + lagWithin(history, at, call.startedAt);
      const bound = broken(at, call.startedAt) ? bounds.maxStaleMs : bounds.promiseMs;
      if (late <= bound + slack) continue;
      found.push({
        invariant: 'I2',
        t: call.startedAt,
        says: `${call.pep} allowed ${call.call} ${Math.round(late)} ms after ${says}; the bound is ${bound} ms`,
      });
      break;
    }
  }
  return [...found, ...forgotten(calls)];
}

/** Allowed after the same PEP had refused the token as revoked. */
function forgotten(calls: readonly Call[]): Violation[] {
  const refusedAt = new Map<string, number>();
  for (const { pep, token, answer, answeredAt } of calls) {
    if (answer === undefined || answeredAt === undefined || !REVOKED_REASONS.has(answer)) continue;
    const key = `${pep} ${token}`;
    refusedAt.set(key, Math.min(refusedAt.get(key) ?? Number.POSITIVE_INFINITY, answeredAt));
  }
  return calls
    .filter(({ allowed, pep, token, startedAt }) => {
      const at = refusedAt.get(`${pep} ${token}`);
      return allowed && at !== undefined && startedAt > at;
    })
    .map(({ call, pep, startedAt: t }) => ({
      invariant: 'I2',
      t,
      says: `${pep} allowed ${call} after it had refused that token as revoked`,
    }));
}

/** By token: the moments from which on it had to be dead. */
function deathsOf(history: History): Map<string, { at: number; says: string }[]> {
  const revocations = revocationsOf(history);
  const epochs = of(history, 'epoch');
  return new Map(
    of(history, 'token').map((token) => [
      token.token,
      [
        ...revocations.flatMap((each) =>
          each.acknowledgedAt !== undefined && names(each, token)
            ? [{ at: each.acknowledgedAt, says: `the revocation of ${each.what} ${each.id}` }]
            : [],
        ),
        ...epochs.flatMap(({ t, epoch }) =>
          t > token.t && epoch !== token.rev.epoch ? [{ at: t, says: `epoch ${epoch} began` }] : [],
        ),
      ],
    ]),
  );
}

/** I3. Of a PEP that is cut off no call is allowed that starts after `maxStaleMs`, until it hears again. */
export function staleIsRefused(history: History, bounds: Bounds): Violation[] {
  const blind = windows(of(history, 'blind'), ({ pep }) => pep);
  const allowed = callsOf(history).filter((call) => call.allowed);
  return blind.flatMap(({ key, from, to }) =>
    allowed
      .filter(({ pep, startedAt, answeredAt, workedAt }) => {
        if (key !== '*' && key !== pep) return false;
        // What ended after the PEP could hear again may have been decided after it.
        if ((workedAt ?? answeredAt ?? Number.POSITIVE_INFINITY) >= to) return false;
        const late = startedAt - from - bounds.maxStaleMs - bounds.slackMs;
        return late > 0 && late > lagWithin(history, from, startedAt);
      })
      .map(({ call, pep, startedAt }) => ({
        invariant: 'I3' as const,
        t: startedAt,
        says: `${pep} allowed ${call} ${Math.round(startedAt - from)} ms after it was cut off; the bound is ${bounds.maxStaleMs} ms`,
      })),
  );
}
