import type { History } from '../history.ts';
import { type Bounds, callsOf, lagWithin, of, type Violation, windows } from './model.ts';

/**
 * I8. Whenever nothing has been broken for `recoverMs`, every PEP that is called has allowed something
 * in that time. A quiet time that is shorter says nothing.
 */
export function recovers(history: History, bounds: Bounds): Violation[] {
  const calls = callsOf(history);
  const peps = [...new Set(calls.map(({ pep }) => pep))];
  const last = history.at(-1)?.t ?? 0;
  return quietTimes(history, last).flatMap(({ from, to }) => {
    const until = from + bounds.recoverMs + lagWithin(history, from, to);
    if (until > to) return [];
    return peps
      .filter(
        (pep) =>
          calls.some(
            (call) => call.pep === pep && call.startedAt >= from && call.startedAt < until,
          ) &&
          !calls.some(
            (call) =>
              call.pep === pep && call.allowed && call.startedAt >= from && call.startedAt < until,
          ),
      )
      .map((pep) => ({
        invariant: 'I8' as const,
        t: until,
        says: `${pep} allowed nothing for ${bounds.recoverMs} ms though nothing was broken`,
      }));
  });
}

/** The stretches between faults. */
function quietTimes(history: History, last: number): { from: number; to: number }[] {
  const faults = windows(of(history, 'fault'), ({ fault }) => fault).toSorted(
    (a, b) => a.from - b.from,
  );
  const quiet: { from: number; to: number }[] = [];
  let from = history[0]?.t ?? 0;
  for (const fault of faults) {
    if (fault.from > from) quiet.push({ from, to: fault.from });
    from = Math.max(from, fault.to);
  }
  if (from < last) quiet.push({ from, to: last });
  return quiet;
}
