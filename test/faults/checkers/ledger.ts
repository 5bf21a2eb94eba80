import type { History } from '../history.ts';
import { callsOf, of, REVOKED_REASONS, type Violation } from './model.ts';

/**
 * I1. Every decision that let a tool work, and every refusal of a token as revoked, is one row of the
 * ledger with the same verdict; no id is there twice, and the sequence has no gap. Says nothing about
 * a history in which the ledger was not read.
 */
export function ledgerKeepsEveryDecision(history: History): Violation[] {
  const rows = of(history, 'row');
  if (rows.length === 0) return [];
  const found: Violation[] = [];
  const say = (t: number, says: string): void => void found.push({ invariant: 'I1', t, says });

  const byId = new Map<string, string | null>();
  for (const { id, decision, t } of rows) {
    if (byId.has(id)) say(t, `decision ${id} is in the ledger twice`);
    byId.set(id, decision);
  }
  // A call that was revoked while its record was kept: the later record says so.
  for (const { corrects, decision } of rows) if (corrects) byId.set(corrects, decision);
  const sequence = rows.map(({ seq }) => seq).toSorted((a, b) => a - b);
  for (const [at, seq] of sequence.entries()) {
    const first = sequence[0] as number;
    if (seq !== first + at) {
      say(0, `the ledger has a gap or a fork at ${first + at}`);
      break;
    }
  }
  for (const { call, pep, decision, allowed, answer, startedAt } of callsOf(history)) {
    const known = allowed || (answer !== undefined && REVOKED_REASONS.has(answer));
    if (!known || decision === undefined) continue;
    const row = byId.get(decision);
    const expected = allowed ? 'allow' : 'deny';
    if (row === undefined)
      say(startedAt, `${pep} ${call}: decision ${decision} is not in the ledger`);
    else if (row !== expected) {
      say(
        startedAt,
        `${pep} ${call}: decision ${decision} is ${row} in the ledger, not ${expected}`,
      );
    }
  }
  return found;
}
