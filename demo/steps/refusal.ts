import { AgentError, type Refusal } from '@remit/agent';
import type { World } from '../world.ts';
import { fact, factsOf, type StepResult } from './step.ts';

/** What a refused token request must show: who is told what, and what the ledger holds. */
export type ExpectedRefusal = {
  /** What the agent asks the issuer for, in words. */
  asks: string;
  error: string;
  reason: string;
  dimension?: string;
  user: string;
};

/**
 * Asks the issuer for what it must refuse, and judges from outside: its OAuth error, the ERP's rows,
 * and the record of the refusal.
 */
export async function judgeRefusal(
  world: World,
  ask: () => Promise<unknown>,
  expected: ExpectedRefusal,
): Promise<StepResult> {
  const before = await world.erp.counts();
  const refusal = await refusalOf(ask);
  const after = await world.erp.counts();
  if (!refusal)
    return {
      actual: 'allow',
      reason: 'a token was handed out',
      facts: factsOf(`asks ${expected.asks}`, [fact('the issuer refuses', false, true)]),
    };

  const line = await world.ledger.line(refusal.recordId ?? 'none');
  const facts = [
    fact(`issuer: ${expected.error}`, refusal.error, expected.error),
    fact('ERP unchanged', after, before),
    fact(
      `ledger: refused, ${expected.reason}, ${expected.user}`,
      { event: line.event, decision: line.decision, reason: line.reason, user: line.user },
      { event: 'token.refused', decision: 'deny', reason: expected.reason, user: expected.user },
    ),
  ];
  if (expected.dimension) {
    facts.push(
      fact(
        `both name the ${expected.dimension} dimension`,
        [refusal.dimension, refusing(line.record.dimensions)],
        [expected.dimension, expected.dimension],
      ),
    );
  }
  return {
    actual: 'refused',
    reason: line.reason ?? 'none',
    ...(refusal.description === undefined ? {} : { because: refusal.description }),
    facts: factsOf(`asks ${expected.asks}`, facts),
  };
}

async function refusalOf(ask: () => Promise<unknown>): Promise<Refusal | undefined> {
  try {
    await ask();
    return undefined;
  } catch (error) {
    if (error instanceof AgentError && error.refusal) return error.refusal;
    throw error;
  }
}

function refusing(dimensions: object | undefined): string | undefined {
  return Object.entries(dimensions ?? {}).find(([, verdict]) => verdict === 'deny')?.[0];
}
