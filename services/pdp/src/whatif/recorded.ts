import {
  type AuditRecord,
  closed,
  evaluateRequest,
  oneOf,
  permissionsJson,
  type Reason,
  text,
} from '@remit/contracts';
import { type Static, Type } from 'typebox';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import { type DecideDeps, evaluate } from '../decide/evaluate.ts';
import type { RegistryFacts } from '../decide/facts.ts';
import type { Resolver } from '../decide/resolve.ts';
import { PdpError } from '../errors.ts';

const { actors, user, client, task, audience, operation } = evaluateRequest.properties;

/**
 * A decision as the ledger tells it to an auditor: what a PEP asked itself or the pdp. The ledger is the
 * only place where a whole decision is kept, so that an erasure there erases it here too.
 */
export const recordedDecision = closed({
  id: text(64),
  /** RFC 3339. */
  time: text(40),
  actors,
  user,
  client,
  task,
  audience,
  scope: permissionsJson,
  operation,
  approval: Type.Optional(text(64)),
  decision: oneOf('allow', 'deny'),
  reason: text(64),
  policy_version: text(128),
  registry_revision: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type RecordedDecision = Static<typeof recordedDecision>;

export type Outcome = { decision: 'allow' | 'deny'; reason: Reason; policies: readonly string[] };

/** Decides a recorded decision again, at its own time, under any set. Raises no alarm and counts nothing. */
export function decideAgain(
  deps: Pick<DecideDeps, 'engine'>,
  tenant: string,
  facts: RegistryFacts,
  set: GuardrailSet,
  recorded: RecordedDecision,
): Outcome {
  const nowMs = timeOf(recorded);
  const answer = evaluate(
    { engine: deps.engine, nowMs: () => nowMs, newId: () => recorded.id },
    facts,
    set,
    {
      tenant,
      actors: recorded.actors,
      user: recorded.user,
      client: recorded.client,
      task: recorded.task,
      audience: recorded.audience,
      scope: recorded.scope,
      operation: recorded.operation,
      ...(recorded.approval === undefined ? {} : { approval: recorded.approval }),
    },
  );
  const { decision, policies } = answer;
  return { decision, reason: answer.reason as Reason, policies };
}

/** What the registry says now of those whom a recorded decision was about. */
export function factsNow(
  resolve: Resolver,
  tenant: string,
  recorded: RecordedDecision,
): Promise<RegistryFacts> {
  return resolve({
    tenant,
    actors: recorded.actors,
    user: recorded.user,
    taskType: recorded.task.type,
    audience: recorded.audience,
  });
}

/** Throws PdpError `NOT_REPLAYABLE` for a time that is none. */
function timeOf({ time }: Pick<AuditRecord, 'time'>): number {
  const ms = Date.parse(time);
  if (Number.isNaN(ms)) throw new PdpError('NOT_REPLAYABLE', 'the time of a decision is not one');
  return ms;
}
