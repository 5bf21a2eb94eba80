import type {
  EvaluateResponse,
  FilterRequest,
  FilterResponse,
  MintRequest,
  MintResponse,
} from '@remit/contracts';
import type { Metrics } from '@remit/service-kit';
import type { SessionFacts } from '../cedar/call-facts.ts';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import { PdpError } from '../errors.ts';
import { filter } from '../mint/filter.ts';
import { mint } from '../mint/mint.ts';
import type { Policies } from '../policies/policies.ts';
import type { Shadow } from '../policies/shadow.ts';
import { type DecideDeps, type EvaluationRequest, evaluate } from './evaluate.ts';
import type { External } from './external.ts';
import type { RegistryFacts } from './facts.ts';
import type { Parties, Resolver } from './resolve.ts';
import type { Sessions } from './sessions.ts';

/** A request to evaluate; an HTTP caller may leave out what then is not there, and is denied for it. */
export type Evaluation = Omit<EvaluationRequest, 'session'>;

export type Evaluate = (request: Evaluation) => Promise<EvaluateResponse>;

export type Decider = {
  evaluate: Evaluate;
  /**
   * Evaluates several requests of one moment: facts about the same parties are read once, and each
   * request is decided as `evaluate` would. With `hypothetical`, nothing counts as a call of its task.
   */
  batch: (options?: { hypothetical?: boolean }) => Evaluate;
  mint: (request: MintRequest & { tenant: string }) => Promise<MintResponse>;
  filter: (request: FilterRequest & { tenant: string }) => Promise<FilterResponse>;
};

/** What an organisation's own decision point is called where guardrails have their ids. */
const EXTERNAL_POLICY = 'remit:external';

type Read = (parties: Parties) => Promise<readonly [RegistryFacts, GuardrailSet]>;

/** Decides with facts and policies read for this one decision. Rejects when either cannot be had. */
export function createDecider(
  options: DecideDeps & {
    resolve: Resolver;
    policies: Policies;
    sessions: Sessions;
    external: External;
    shadow: Pick<Shadow, 'observe'>;
    metrics: Metrics;
  },
): Decider {
  const { resolve, policies, sessions, external, shadow, metrics } = options;
  const deps: DecideDeps = { ...options, everyCall: external.has };
  const decisions = metrics.counter('remit_pdp_decisions_total', 'Decisions by reason.');
  const seconds = metrics.histogram('remit_pdp_decision_seconds', 'Time to decide, facts read.');
  const permissions = metrics.counter(
    'remit_pdp_minted_permissions_total',
    'Permissions handed out by who checks them.',
  );

  const read: Read = (parties) => Promise.all([resolve(parties), policies.active(parties.tenant)]);

  const timed = <A>(kind: string, decide: () => A): A => {
    const started = performance.now();
    const answer = decide();
    seconds.observe((performance.now() - started) / 1_000, { kind });
    return answer;
  };
  const counted = <A extends { decision: string; reason: string }>(kind: string, answer: A): A => {
    const { decision, reason } = answer;
    decisions.add({ kind, decision, reason });
    return answer;
  };

  /** What the task did so far, where a guardrail of the set looks at it. */
  async function sessionOf(
    request: Evaluation,
    facts: RegistryFacts,
    set: GuardrailSet,
  ): Promise<SessionFacts | 'too_much' | undefined> {
    if (!set.readsSession || !facts.tenantActive) return undefined;
    const { tenant, task, operation, signals } = request;
    try {
      return await sessions.count({
        tenant,
        task: task.id,
        tool: facts.tool?.id ?? 'unknown',
        action: operation.action,
        volume: signals?.volume ?? 0,
      });
    } catch (error) {
      if (error instanceof PdpError && error.code === 'POLICY_ERROR') return 'too_much';
      throw error;
    }
  }

  async function decideOne(
    request: Evaluation,
    reading: Read,
    hypothetical: boolean,
  ): Promise<EvaluateResponse> {
    const { tenant, actors, user, task, audience } = request;
    const [facts, set] = await reading({ tenant, actors, user, taskType: task.type, audience });
    const session = hypothetical ? undefined : await sessionOf(request, facts, set);
    let answer = timed('evaluate', () =>
      session === 'too_much'
        ? refusedBy(evaluate(deps, facts, set, request), 'policy_error', 'remit:session')
        : evaluate(deps, facts, set, { ...request, session }),
    );
    if (!hypothetical && session !== 'too_much')
      shadow.observe({ kind: 'evaluate', tenant, facts, request: { ...request, session }, answer });
    if (answer.decision === 'allow' && external.has(tenant)) {
      // No user, no decision: evaluate refused that already.
      const said = await external.ask({ ...request, id: answer.id, user: user ?? '' });
      if (said !== 'permitted') answer = refusedBy(answer, said, EXTERNAL_POLICY);
    }
    if (answer.decision === 'deny' && session !== undefined)
      await sessions.denied({ tenant, task: task.id });
    return counted('evaluate', answer);
  }

  return {
    evaluate: (request) => decideOne(request, read, false),
    batch({ hypothetical = false } = {}) {
      const known = new Map<string, ReturnType<Read>>();
      const reading: Read = (parties) => {
        const { tenant, actors, user, taskType, audience } = parties;
        const key = JSON.stringify([tenant, actors, user ?? null, taskType, audience]);
        const found = known.get(key) ?? read(parties);
        known.set(key, found);
        return found;
      };
      return (request) => decideOne(request, reading, hypothetical);
    },
    async mint(request) {
      const { tenant, actors, user, task, audience } = request;
      const [facts, set] = await read({ tenant, actors, user, taskType: task.type, audience });
      const answer = counted(
        'mint',
        timed('mint', () => mint(deps, facts, set, request)),
      );
      shadow.observe({ kind: 'mint', tenant, facts, request, answer });
      for (const { check = 'local' } of answer.permissions) permissions.add({ check });
      return answer;
    },
    async filter(request) {
      const { tenant, actors, user, task, audience } = request;
      const [facts, set] = await read({ tenant, actors, user, taskType: task.type, audience });
      return timed('filter', () => filter(deps, facts, set, request));
    },
  };
}

/** An answer turned into a refusal by the policies' dimension; nothing of an allow stays. */
function refusedBy(
  { obligations: _gone, miss: _near, ...answer }: EvaluateResponse,
  reason: 'policy_error' | 'external_forbid' | 'external_unavailable',
  policy: string,
): EvaluateResponse {
  return {
    ...answer,
    decision: 'deny',
    reason,
    dimensions: { ...answer.dimensions, policies: 'deny' },
    policies: [policy],
  };
}
