import { setImmediate as turn } from 'node:timers/promises';
import type { Engine } from '../cedar/engine.ts';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import type { RegistryFacts } from '../decide/facts.ts';
import type { Resolver } from '../decide/resolve.ts';
import { decideAgain, factsNow, type Outcome, type RecordedDecision } from './recorded.ts';

/** What a candidate would do to one recorded decision. */
export type Replayed = {
  id: string;
  /** `denied` and `allowed`: by the candidate, other than by the set that it is compared with. */
  change: 'none' | 'denied' | 'allowed' | 'reason';
  /** Under the set that is compared with, on the facts of now. */
  base: Outcome;
  candidate: Outcome;
  /** The facts of now decide otherwise than the recorded decision: the registry has moved on. */
  drifted: boolean;
};

const YIELD_EVERY = 32;

/**
 * Decides recorded decisions twice, under two sets and the same facts, so that what differs is the sets'
 * doing alone. Facts of people and agents are those of now; arguments, scope and time are those recorded.
 * What a task did before and what the PEP attested is in no record: guardrails that read it see nothing.
 * Changes nothing. Rejects when the registry cannot be asked.
 */
export async function replay(
  deps: { engine: Engine; resolve: Resolver },
  tenant: string,
  sets: { base: GuardrailSet; candidate: GuardrailSet },
  decisions: readonly RecordedDecision[],
): Promise<Replayed[]> {
  const known = new Map<string, Promise<RegistryFacts>>();
  const facts = (one: RecordedDecision): Promise<RegistryFacts> => {
    const key = JSON.stringify([one.actors, one.user, one.task.type, one.audience]);
    const asked = known.get(key) ?? factsNow(deps.resolve, tenant, one);
    known.set(key, asked);
    return asked;
  };
  const answers: Replayed[] = [];
  for (const [position, recorded] of decisions.entries()) {
    // Live decisions come between.
    if (position % YIELD_EVERY === 0) await turn();
    const found = await facts(recorded);
    const base = decideAgain(deps, tenant, found, sets.base, recorded);
    const candidate = decideAgain(deps, tenant, found, sets.candidate, recorded);
    answers.push({
      id: recorded.id,
      change: changeOf(base, candidate),
      base,
      candidate,
      drifted: recorded.decision !== base.decision,
    });
  }
  return answers;
}

function changeOf(base: Outcome, candidate: Outcome): Replayed['change'] {
  if (base.decision !== candidate.decision)
    return candidate.decision === 'deny' ? 'denied' : 'allowed';
  const same =
    base.reason === candidate.reason && base.policies.join() === candidate.policies.join();
  return same ? 'none' : 'reason';
}
