import type {
  EvaluateRequest,
  EvaluateResponse,
  MintRequest,
  MintResponse,
} from '@remit/contracts';
import type { Metrics } from '@remit/service-kit';
import { mint } from '../mint/mint.ts';
import type { Policies } from '../policies/policies.ts';
import { type DecideDeps, evaluate } from './evaluate.ts';
import type { Resolver } from './resolve.ts';

/** A request to evaluate; an HTTP caller may leave out what then is not there, and is denied for it. */
export type Evaluation = Omit<EvaluateRequest, 'user'> & {
  tenant: string;
  user: string | undefined;
};

export type Decider = {
  evaluate: (request: Evaluation) => Promise<EvaluateResponse>;
  mint: (request: MintRequest & { tenant: string }) => Promise<MintResponse>;
};

/** Decides with facts and policies read for this one decision. Rejects when either cannot be had. */
export function createDecider(
  deps: DecideDeps & { resolve: Resolver; policies: Policies; metrics: Metrics },
): Decider {
  const { resolve, policies, metrics } = deps;
  const decisions = metrics.counter('remit_pdp_decisions_total', 'Decisions by reason.');
  const seconds = metrics.histogram('remit_pdp_decision_seconds', 'Time to decide, facts read.');
  const permissions = metrics.counter(
    'remit_pdp_minted_permissions_total',
    'Permissions handed out by who checks them.',
  );

  const timed = <A extends { decision: string; reason: string }>(kind: string, decide: () => A) => {
    const started = performance.now();
    const answer = decide();
    seconds.observe((performance.now() - started) / 1_000, { kind });
    decisions.add({ kind, decision: answer.decision, reason: answer.reason });
    return answer;
  };

  return {
    async evaluate(request) {
      const { tenant, actors, user, task, audience } = request;
      const [facts, set] = await Promise.all([
        resolve({ tenant, actors, user, taskType: task.type, audience }),
        policies.active(tenant),
      ]);
      return timed('evaluate', () => evaluate(deps, facts, set, request));
    },
    async mint(request) {
      const { tenant, actors, user, task, audience } = request;
      const [facts, set] = await Promise.all([
        resolve({ tenant, actors, user, taskType: task.type, audience }),
        policies.active(tenant),
      ]);
      const answer = timed('mint', () => mint(deps, facts, set, request));
      for (const { check = 'local' } of answer.permissions) permissions.add({ check });
      return answer;
    },
  };
}
