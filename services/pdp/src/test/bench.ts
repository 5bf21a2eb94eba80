import {
  preparsePolicySet,
  preparseSchema,
  statefulIsAuthorized,
} from '@cedar-policy/cedar-wasm/nodejs';
import { createEngine } from '../cedar/engine.ts';
import { PLATFORM_POLICY, PLATFORM_TEXT } from '../cedar/platform.ts';
import { buildRequest } from '../cedar/request.ts';
import { cedarSchema } from '../cedar/schema.ts';
import { evaluate } from '../decide/evaluate.ts';
import { circumstances } from '../decide/facts.ts';
import { AUDIENCE, erp, everything, factsOf, guardrails, taskRef, testDeps } from './fixtures.ts';

const APPLIES = `@id("large") forbid (principal, action == Action::"orders.create", resource)
  when { context.args has amount && context.args.amount.greaterThan(decimal("1000.0")) };`;

const request = {
  tenant: 'acme',
  actors: ['procurement-agent'],
  user: 'alice',
  client: 'procurement-agent',
  task: taskRef,
  audience: AUDIENCE,
  scope: everything,
  operation: { action: 'orders.create', resource: 'erp/orders', args: { amount: 500 } },
};

/** One decision, facts read, beside `count` guardrails that speak about other agents. */
export function decisionBeside(count: number): () => unknown {
  const others = Array.from(
    { length: count },
    (_, i) => `@id("other-${i}") forbid (principal == Agent::"agent-${i}", action, resource);`,
  );
  const set = guardrails([APPLIES, ...others].join('\n'), `bench:${count}`);
  const facts = factsOf();
  const deps = testDeps({ engine: createEngine({ prefix: `bench-${count}` }) });
  const decide = () => {
    if (evaluate(deps, facts, set, request).decision !== 'allow') throw new Error('not allowed');
  };
  decide();
  return decide;
}

/** What Cedar alone takes for the same question: its slice parsed, its request made beforehand. */
export function bareEvaluation(): () => unknown {
  const facts = factsOf();
  const [actor] = facts.actors;
  if (!actor || !facts.user || !facts.tool) throw new Error('incomplete facts');
  const about = circumstances({ actors: [actor], user: facts.user, tool: facts.tool }, request, {
    ...taskRef,
    purpose: 'p',
  });
  const question = {
    ...request.operation,
    dimensions: { agent: true, user: true, task: true },
    nowMs: Date.UTC(2026, 10, 22),
  };
  preparseSchema('bare-schema', cedarSchema([erp]));
  preparsePolicySet('bare', {
    staticPolicies: { [PLATFORM_POLICY]: PLATFORM_TEXT, large: APPLIES },
  });
  const made = buildRequest(about, question);
  return () => {
    const answer = statefulIsAuthorized({
      ...made,
      preparsedSchemaName: 'bare-schema',
      preparsedPolicySetId: 'bare',
      validateRequest: true,
    });
    if (answer.type !== 'success' || answer.response.decision !== 'allow')
      throw new Error('not allowed');
  };
}
