import type { Allowed } from './enforce.ts';

const undone = new WeakSet<Allowed>();

/**
 * Says that the tool did nothing for an allowed call: it refused it before any effect. When the call
 * finishes, what it spent of budgets is given back. To be said before the handler ends, and only where
 * it is certain: a call that failed on its way stays spent. A single use that was consumed stays so.
 */
export function nothingDone(call: Allowed): void {
  undone.add(call);
}

export function didNothing(call: Allowed): boolean {
  return undone.has(call);
}
