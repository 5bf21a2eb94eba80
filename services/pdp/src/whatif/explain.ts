import { type Operation, parseOperation, type Scope, ScopeError, scope } from '@remit/capability';
import { isReason, type MissJson, REASONS } from '@remit/contracts';
import type { Engine } from '../cedar/engine.ts';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import { inactive } from '../decide/evaluate.ts';
import { anyPermits, type RegistryFacts } from '../decide/facts.ts';
import { decideAgain, type Outcome, type RecordedDecision } from './recorded.ts';

type Verdict = 'allow' | 'deny' | 'not_evaluated';
export type DimensionSaid = {
  dimension: 'agent' | 'user' | 'task' | 'policies';
  verdict: Verdict;
  sentence: string;
};

export type Explanation = {
  id: string;
  /** The whole of it in one sentence. */
  sentence: string;
  recorded: { decision: 'allow' | 'deny'; reason: string; sentence: string };
  /** The same decision, taken again now with the policies of its version. */
  again: Outcome;
  /** Both decide the same. */
  agrees: boolean;
  policy_version: string;
  dimensions: DimensionSaid[];
  /** The guardrails that decided, as they were written. */
  policies: { id: string; file: string; text: string }[];
  /** What this explanation could not know. */
  caveats: string[];
};

/** Facts of a call that stand in no record. */
const BESIDE_THE_RECORD = /\bcontext\s*(\.|has)\s*(attested|authentication|network|risk|session)\b/;

/** Reasons of a PEP that say what the task's scope says. */
const SCOPE_REASONS = new Set([
  'scope_action',
  'scope_resource',
  'scope_arguments',
  'scope_constraint',
  'task_scope',
]);

/**
 * Takes a recorded decision apart again: under the policies of its own version, at its own time, with
 * its own arguments and scope, and what the registry says now of agent and user. Where that is not what
 * it said then, `caveats` says so. Does not check tokens, proofs or revocation again.
 */
export function explain(
  engine: Engine,
  tenant: string,
  facts: RegistryFacts,
  set: GuardrailSet,
  recorded: RecordedDecision,
): Explanation {
  const again = decideAgain({ engine }, tenant, facts, set, recorded);
  const dimensions = [...threeOf(facts, recorded), policiesOf(set, again)];
  const meaning = isReason(recorded.reason) ? REASONS[recorded.reason] : recorded.reason;
  return {
    id: recorded.id,
    sentence: sentenceOf(recorded, dimensions, meaning),
    recorded: { decision: recorded.decision, reason: recorded.reason, sentence: meaning },
    again,
    agrees: again.decision === recorded.decision,
    policy_version: set.version,
    dimensions,
    policies: set.guardrails
      .filter(({ id }) => again.policies.includes(id))
      .map(({ id, file, text }) => ({ id, file, text })),
    caveats: caveatsOf(facts, set, recorded, again),
  };
}

function sentenceOf(
  { operation, actors, user, decision, reason }: RecordedDecision,
  dimensions: readonly DimensionSaid[],
  meaning: string,
): string {
  const who = [user, ...actors].join(' → ');
  const what = `${who}: ${operation.action} on ${operation.resource}`;
  if (decision === 'allow')
    return `${what} was allowed: agent, user, task and guardrails admit it.`;
  const named = SCOPE_REASONS.has(reason)
    ? dimensions.find(({ dimension }) => dimension === 'task')
    : dimensions.find(
        ({ dimension, verdict }) => verdict === 'deny' && ofReason(dimension, reason),
      );
  return `${what} was refused: ${named?.verdict === 'deny' ? named.sentence : meaning}`;
}

function ofReason(dimension: DimensionSaid['dimension'], reason: string): boolean {
  if (dimension === 'agent') return reason === 'agent_envelope' || reason === 'agent_inactive';
  if (dimension === 'user') return reason === 'user_entitlement' || reason === 'user_inactive';
  if (dimension === 'task') return SCOPE_REASONS.has(reason);
  return reason.startsWith('policy_') || reason.endsWith('_required');
}

function threeOf(facts: RegistryFacts, recorded: RecordedDecision): DimensionSaid[] {
  const operation = readable(() => parseOperation(recorded.operation));
  const present = inactive(facts);
  if (!operation || 'reason' in present) {
    const why = 'reason' in present ? present.reason : 'arguments_invalid';
    const verdicts = 'reason' in present ? present.dimensions : undefined;
    return (['agent', 'user', 'task'] as const).map((dimension) => {
      const verdict = verdicts?.[dimension] ?? 'not_evaluated';
      return {
        dimension,
        verdict,
        sentence: verdict === 'deny' ? REASONS[why] : `Not evaluated: ${REASONS[why]}`,
      };
    });
  }
  const missing = present.actors
    .map(({ agent, envelope }) => ({ id: agent.id, miss: anyPermits([envelope], operation) }))
    .find(({ miss }) => miss !== undefined);
  const userMiss = anyPermits(present.user.entitlement, operation);
  const task = readable(() => scope(recorded.scope));
  const taskMiss = facts.taskType ? taskMissOf(task, operation) : ({ kind: 'empty' } as const);
  const chain = recorded.actors.join(', ');
  return [
    missing
      ? said('agent', `the envelope of ${missing.id}`, missing.miss)
      : said('agent', `the envelope of ${chain}`, undefined),
    said('user', `what ${recorded.user} is entitled to`, userMiss),
    said('task', `the scope of the task (${recorded.task.type})`, taskMiss),
  ];
}

function taskMissOf(task: Scope | undefined, operation: Operation): MissJson | undefined {
  return task ? anyPermits([task], operation) : { kind: 'empty' };
}

function said(
  dimension: DimensionSaid['dimension'],
  whose: string,
  miss: MissJson | undefined,
): DimensionSaid {
  const subject = `${whose[0]?.toUpperCase() ?? ''}${whose.slice(1)}`;
  if (!miss) return { dimension, verdict: 'allow', sentence: `${subject} admits it.` };
  return {
    dimension,
    verdict: 'deny',
    sentence: `${subject} does not admit it: ${missSaid(miss)}.`,
  };
}

/** The nearest permission, and what of it stood in the way. */
function missSaid({ kind, path, test }: MissJson): string {
  switch (kind) {
    case 'action':
      return 'no permission names the action';
    case 'resource':
      return 'the nearest permission names the action, but not this resource';
    case 'args':
      return `the nearest permission does not take the argument ${path ?? ''}`;
    case 'constraint':
      return `the nearest permission fits but for the argument ${path ?? ''}, which fails ${test ?? 'its test'}`;
    case 'empty':
      return 'there is no permission at all';
  }
}

function policiesOf(set: GuardrailSet, again: Outcome): DimensionSaid {
  const named = again.policies.filter((id) => set.guardrails.some((one) => one.id === id));
  const list = named.join(', ');
  if (again.reason === 'policy_error')
    return {
      dimension: 'policies',
      verdict: 'deny',
      sentence: `A guardrail could not be evaluated: ${again.policies.join(', ')}.`,
    };
  if (named.length > 0)
    return {
      dimension: 'policies',
      verdict: 'deny',
      sentence: `${named.length === 1 ? `The guardrail ${list} objects` : `The guardrails ${list} object`}.`,
    };
  return {
    dimension: 'policies',
    verdict: again.decision === 'allow' ? 'allow' : 'not_evaluated',
    sentence: 'No guardrail objects.',
  };
}

function caveatsOf(
  facts: RegistryFacts,
  set: GuardrailSet,
  recorded: RecordedDecision,
  again: Outcome,
): string[] {
  const caveats: string[] = [];
  const { registry_revision: then } = recorded;
  if (then === undefined)
    caveats.push(
      'The PEP decided alone, on what its token was minted with; agent and user are shown as the registry has them now.',
    );
  else if (then !== facts.revision)
    caveats.push(
      `The registry has changed since (revision ${then} then, ${facts.revision} now); agent and user are shown as they are now.`,
    );
  if (set.guardrails.some(({ text }) => BESIDE_THE_RECORD.test(text)))
    caveats.push(
      'Guardrails of this version read what the task did before or what the PEP attested, which no record holds.',
    );
  if (again.decision !== recorded.decision)
    caveats.push(
      `Taken again now it would be ${again.decision === 'allow' ? 'allowed' : 'refused'} (${again.reason}): what decided it then has changed, or is not a question of these four dimensions.`,
    );
  return caveats;
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof ScopeError) return undefined;
    throw error;
  }
}
