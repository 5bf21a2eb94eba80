import { describe, expect, it } from 'vitest';
import { readGuardrails } from '../cedar/guardrails.ts';
import { mint } from '../mint/mint.ts';
import {
  AUDIENCE,
  everything,
  type FactsOptions,
  factsOf,
  guardrails,
  summary,
  taskRef,
  testDeps,
} from '../test/fixtures.ts';
import { type EvaluationRequest, evaluate } from './evaluate.ts';

const PAY = { action: 'payments.release', resource: 'erp/payments/P-1' };

function decide(policies: string, more: Partial<EvaluationRequest> = {}, facts: FactsOptions = {}) {
  return evaluate(testDeps(), factsOf(facts), guardrails(policies), {
    tenant: 'acme',
    actors: ['procurement-agent'],
    user: 'alice',
    client: 'procurement-agent',
    task: taskRef,
    audience: AUDIENCE,
    scope: everything,
    operation: { ...PAY, args: { amount: 5_000 } },
    ...more,
  });
}
const minted = (policies: string, deps = testDeps()) =>
  mint(deps, factsOf(), guardrails(policies), {
    tenant: 'acme',
    actors: ['procurement-agent'],
    user: 'alice',
    client: 'procurement-agent',
    audience: AUDIENCE,
    task: {
      id: 'task_A',
      type: summary.id,
      slots: {},
      ceiling: [{ actions: [PAY.action], resources: [PAY.resource], args: 'any' }],
    },
    narrow: false,
  });

const head = 'forbid (principal, action == Action::"payments.release", resource)';
const large =
  'when { context.args has amount && context.args.amount.greaterThan(decimal("1000.0")) }';
const approval = `@id("four-eyes") @obligation("approval") @from("treasury") ${head} ${large}
  unless { context has approval };`;
const stepUp = `@id("fresh") @obligation("step_up") @acr("phr") ${head}
  unless { context.authentication has acr && context.authentication.acr == "phr" };`;
const redact = `@id("no-iban") @obligation("redact") @fields("iban, owner.name") ${head} ${large};`;
const plain = `@id("never") ${head};`;

describe('an obligation of a guardrail', () => {
  it('that an approval or a sign-in would meet comes with the deny', () => {
    expect(decide(approval)).toMatchObject({
      decision: 'deny',
      reason: 'approval_required',
      policies: ['four-eyes'],
      dimensions: { policies: 'deny' },
      obligations: [{ id: 'four-eyes', type: 'approval', properties: { from: 'treasury' } }],
    });
    expect(decide(approval, { approval: 'appr_1' })).toMatchObject({ decision: 'allow' });
    expect(decide(stepUp)).toMatchObject({
      reason: 'step_up_required',
      obligations: [{ id: 'fresh', type: 'step_up', properties: { acr: 'phr' } }],
    });
    expect(decide(stepUp, { signals: { acr: 'phr' } }).decision).toBe('allow');
    expect(decide(stepUp, { signals: { acr: 'pwd' } }).decision).toBe('deny');
    expect(decide(approval + stepUp)).toMatchObject({
      reason: 'approval_required',
      obligations: [{ type: 'approval' }, { type: 'step_up' }],
    });
  });

  it('is not told where no remedy would change the answer', () => {
    for (const answer of [decide(approval + plain), decide(approval, { scope: [] })]) {
      expect(answer.decision).toBe('deny');
      expect(answer).not.toHaveProperty('obligations');
    }
    expect(decide(approval + plain).reason).toBe('policy_forbid');
  });

  // Ask Cedar without telling duties from plain guardrails, and the first is a deny; leave the second
  // question out, and it is an allow without its duty.
  it('that the enforcement point can meet comes with the allow', () => {
    expect(decide(redact)).toMatchObject({
      decision: 'allow',
      reason: 'permitted',
      policies: ['remit:dimensions'],
      obligations: [{ id: 'no-iban', type: 'redact', properties: { fields: 'iban, owner.name' } }],
    });
    const small = decide(redact, { operation: { ...PAY, args: { amount: 1 } } });
    expect(small.decision).toBe('allow');
    expect(small).not.toHaveProperty('obligations');
    expect(decide(redact + plain)).toMatchObject({ decision: 'deny', reason: 'policy_forbid' });
    expect(decide(redact + plain)).not.toHaveProperty('obligations');
  });

  it('that fails while it is evaluated refuses the call', () => {
    const broken = `@id("overflow") @obligation("log") ${head}
      when { context.args has count && context.args.count * 9007199254740991 > 0 };`;
    const operation = { ...PAY, args: { count: 9_007_199_254_740_991 } };
    expect(decide(broken, { operation })).toMatchObject({
      decision: 'deny',
      reason: 'policy_error',
      dimensions: { policies: 'deny' },
      policies: ['overflow'],
    });
  });

  it('is never left out: more than can be carried refuse the call', () => {
    const many = (n: number) =>
      Array.from({ length: n }, (_, i) => `@id("log-${i}") @obligation("log") ${head};`).join('\n');
    expect(decide(many(16)).obligations).toHaveLength(16);
    expect(decide(many(17))).toMatchObject({ decision: 'deny', reason: 'policy_error' });
  });

  // A token cannot carry a duty: mint it local, and the tool never hears of it.
  it('makes each call be decided', () => {
    for (const policies of [
      `@id("log") @obligation("log") ${head};`,
      redact,
      approval,
      stepUp,
      // Of another action: but a call that is decided elsewhere is not counted.
      `@id("s") forbid (principal, action == Action::"orders.create", resource)
         when { context.session.calls > 3 };`,
      `@id("log") @obligation("log") forbid (principal, action, resource) when { principal.version > 5 };`,
    ])
      expect(minted(policies).permissions, policies).toMatchObject([{ check: 'online' }]);
    expect(minted('').permissions[0]).not.toHaveProperty('check');
    expect(minted('', testDeps({ everyCall: () => true })).permissions).toMatchObject([
      { check: 'online' },
    ]);
  });

  it('is refused at upload where it says what nobody can follow', () => {
    const cases: [string, string][] = [
      ['@obligation("explode")', '@obligation is one of approval, step_up, redact, limit, log'],
      ['@obligation("toString")', '@obligation is one of approval, step_up, redact, limit, log'],
      ['@obligation', '@obligation is one of approval, step_up, redact, limit, log'],
      ['@obligation("redact")', 'the obligation redact needs @fields'],
      ['@obligation("redact") @fields("")', '@fields is empty or too long'],
      ['@obligation("redact") @fields("a;b")', '@fields is not a list of names with commas'],
      ['@obligation("limit")', 'the obligation limit needs @rows or @rate'],
      ['@obligation("limit") @rows("many")', '@rows is not a whole number'],
      ['@obligation("limit") @rate("10")', '@rate is not like 10/minute'],
      ['@obligation("step_up")', 'the obligation step_up needs @acr or @max_age'],
      ['@obligation("log") @rows("1")', '@rows means nothing to the obligation log'],
      ['@fields("iban")', '@fields means nothing here'],
    ];
    for (const [annotations, message] of cases) {
      let problems: unknown;
      try {
        readGuardrails('v', {
          'a.cedar': `@id("a") ${annotations} forbid (principal, action, resource);`,
        });
      } catch (error) {
        problems = (error as { details: { problems: unknown } }).details.problems;
      }
      expect(problems, annotations).toEqual([expect.objectContaining({ message })]);
    }
  });
});
