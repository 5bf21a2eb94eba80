import type { History } from '../history.ts';
import {
  callsOf,
  names,
  of,
  REVOKED_REASONS,
  revocationsOf,
  tokensOf,
  type Violation,
} from './model.ts';

/** I4. Over all tokens that share a use, at most one call is allowed. */
export function onceMeansOnce(history: History): Violation[] {
  const tokens = tokensOf(history);
  const first = new Map<string, string>();
  return callsOf(history).flatMap(({ allowed, call, token, pep, startedAt: t }) => {
    const use = tokens.get(token)?.use;
    if (!allowed || !use) return [];
    const before = first.get(use);
    if (before !== undefined) {
      return [{ invariant: 'I4' as const, t, says: `use ${use}: ${before} and ${pep} ${call}` }];
    }
    first.set(use, `${pep} ${call}`);
    return [];
  });
}

/** I6. Per PEP, over its restarts: sequences of one epoch never fall, and no left epoch comes back. */
export function viewsOnlyGrow(history: History): Violation[] {
  const peps = new Map<string, { epoch: string; seq: number; left: Set<string> }>();
  const found: Violation[] = [];
  for (const { pep, epoch, seq, t } of of(history, 'seen')) {
    const known = peps.get(pep);
    if (!known) {
      peps.set(pep, { epoch, seq, left: new Set() });
      continue;
    }
    if (known.left.has(epoch)) {
      found.push({ invariant: 'I6', t, says: `${pep} went back to epoch ${epoch}` });
      continue;
    }
    if (epoch !== known.epoch) {
      known.left.add(known.epoch);
      Object.assign(known, { epoch, seq });
      continue;
    }
    if (seq < known.seq) {
      found.push({ invariant: 'I6', t, says: `${pep} went back from ${known.seq} to ${seq}` });
    }
    known.seq = Math.max(known.seq, seq);
  }
  return found;
}

/** I7. Whatever was refused as revoked, somebody had asked to revoke before the answer came. */
export function nothingForgedActs(history: History): Violation[] {
  const tokens = tokensOf(history);
  const revocations = revocationsOf(history);
  const epochs = of(history, 'epoch');
  return callsOf(history).flatMap(({ answer, answeredAt, token: id, pep, call }) => {
    const token = tokens.get(id);
    if (!answer || answeredAt === undefined || !token || !REVOKED_REASONS.has(answer)) return [];
    const asked = revocations.some((each) => each.askedAt < answeredAt && names(each, token));
    const ended = epochs.some(({ t, epoch }) => t < answeredAt && epoch !== token.rev.epoch);
    return asked || ended
      ? []
      : [
          {
            invariant: 'I7' as const,
            t: answeredAt,
            says: `${pep} refused ${call} as ${answer}, which nobody had revoked`,
          },
        ];
  });
}
