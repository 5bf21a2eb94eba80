import type { RowCounts } from '../erp/store.ts';
import type { LedgerLine, World } from '../world.ts';
import { type Fact, fact, factsOf, type StepResult } from './step.ts';

/** What a call to the ERP must show: its answer, the ERP's rows, and the line in the ledger. */
export type Expectation = {
  status: number;
  decision: 'allow' | 'deny';
  reason: string;
  /** By how much the ERP's rows grow. Whatever is not named stays as it is. */
  rows?: Partial<RowCounts>;
  user: string;
  agents: string[];
  action: string;
  resource: string;
  /** Which instance of the ERP, where the story has both at work. */
  at?: 'the first instance' | 'the second instance';
};

/** One call, judged by three facts that Remit's own answer cannot fake together. */
export type Judged = {
  facts: Fact[];
  actual: StepResult['actual'];
  reason: string;
  /** The sentence of a refusal, as the agent reads it. */
  because?: string;
  line: LedgerLine;
};

/**
 * Makes a call and judges it from outside: the HTTP answer, the ERP's rows before and after, and
 * the record that the ledger holds for the decision that the answer names.
 */
export async function judgeCall(
  world: World,
  call: () => Promise<Response>,
  expected: Expectation,
): Promise<Judged> {
  const before = await world.erp.counts();
  const response = await call();
  const because = sentenceOf(await response.text(), response.ok);
  const after = await world.erp.counts();
  const line = await world.ledger.line(response.headers.get('remit-decision') ?? 'none');

  const place = expected.at ? ` at ${expected.at}` : '';
  const facts = factsOf(`tries ${expected.action} ${expected.resource}${place}`, [
    fact(`HTTP ${expected.status}`, response.status, expected.status),
    fact(rowsInWords(expected.rows), growth(before, after), growth(NOTHING, expected.rows ?? {})),
    fact(
      `ledger: ${expected.decision}, ${expected.reason}, ${[expected.user, ...expected.agents].join(' → ')}`,
      {
        decision: line.record.decision,
        reason: line.record.reason,
        user: line.user,
        agents: line.record.act_chain,
        action: line.record.operation?.action,
        resource: line.record.operation?.resource,
      },
      {
        decision: expected.decision,
        reason: expected.reason,
        user: expected.user,
        agents: expected.agents,
        action: expected.action,
        resource: expected.resource,
      },
    ),
  ]);
  return {
    facts,
    actual: response.ok ? 'allow' : 'deny',
    reason: line.record.reason ?? 'none',
    ...(because === undefined ? {} : { because }),
    line,
  };
}

const NOTHING: RowCounts = { reads: 0, orders: 0, released: 0, terminated: 0 };

function growth(before: RowCounts, after: Partial<RowCounts>): RowCounts {
  return {
    reads: (after.reads ?? 0) - before.reads,
    orders: (after.orders ?? 0) - before.orders,
    released: (after.released ?? 0) - before.released,
    terminated: (after.terminated ?? 0) - before.terminated,
  };
}

function rowsInWords(rows: Partial<RowCounts> = {}): string {
  const grown = Object.entries(rows).filter(([, by]) => by > 0);
  if (grown.length === 0) return 'ERP unchanged';
  return `ERP: ${grown.map(([table, by]) => `${table} +${by}`).join(', ')}`;
}

/** The title of a problem (RFC 9457). */
function sentenceOf(body: string, ok: boolean): string | undefined {
  return ok ? undefined : (JSON.parse(body) as { title?: string }).title;
}
