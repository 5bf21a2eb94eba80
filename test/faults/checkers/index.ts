import type { History } from '../history.ts';
import { ledgerKeepsEveryDecision } from './ledger.ts';
import { recovers } from './liveness.ts';
import { BOUNDS, type Bounds, type InvariantId, type Violation } from './model.ts';
import { revokedIsRefused, staleIsRefused } from './revocation.ts';
import { nothingForgedActs, onceMeansOnce, viewsOnlyGrow } from './state.ts';
import { nothingWidens } from './widening.ts';

/** What must hold over every history, whatever was broken meanwhile. */
export const INVARIANTS: Readonly<
  Record<InvariantId, { says: string; check: (history: History, bounds: Bounds) => Violation[] }>
> = {
  I1: {
    says: 'every decision that a caller or a tool saw is in the ledger exactly once',
    check: ledgerKeepsEveryDecision,
  },
  I2: {
    says: 'what was revoked is refused within the promise while the feed is heard, within maxStaleMs else, and for ever from then on',
    check: revokedIsRefused,
  },
  I3: {
    says: 'a PEP that hears nothing of the feed allows nothing after maxStaleMs',
    check: staleIsRefused,
  },
  I4: {
    says: 'a single use is allowed at most once over all PEPs, replicas and restarts',
    check: onceMeansOnce,
  },
  I5: {
    says: 'what a token may do, all its ancestors may, by a second and naive implementation',
    check: nothingWidens,
  },
  I6: {
    says: 'how far a PEP has applied the log never goes back, and an epoch that was left never returns',
    check: viewsOnlyGrow,
  },
  I7: {
    says: 'nothing is refused as revoked that nobody revoked: forged messages have no effect',
    check: nothingForgedActs,
  },
  I8: {
    says: 'after a fault is healed every PEP allows good calls again, by itself',
    check: recovers,
  },
};

/** Judges a history by every invariant, or by those that are named. */
export function judge(
  history: History,
  { bounds = BOUNDS, only = Object.keys(INVARIANTS) as InvariantId[] } = {},
): Violation[] {
  return only.flatMap((id) => INVARIANTS[id].check(history, bounds));
}
