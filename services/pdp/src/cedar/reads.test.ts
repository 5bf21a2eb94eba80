import { type PolicyJson, policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { describe, expect, it } from 'vitest';
import { readsOf } from './reads.ts';

function parse(text: string): PolicyJson {
  const answer = policyToJson(text);
  if (answer.type === 'failure') throw new Error(answer.errors[0]?.message);
  return answer.json;
}
const reads = (condition: string) =>
  readsOf(parse(`forbid (principal, action, resource) when { ${condition} };`));

describe('what a policy reads', () => {
  it('is fixed when it is agents, user, client, tenant, task, action and registry attributes', () => {
    for (const condition of [
      'true',
      'context.user in Group::"g" && context.client != "c"',
      'principal.owner like "team-*" || !(context.task.type == "t")',
      'context has user && context.user.hasTag("a") && context.user.getTag("a") == "b"',
      'context.agents.contains(Agent::"a") && [1, 2].contains(principal.version)',
      'if context.tenant == "a" then principal is Agent else -1 < 2 + 3 * 4',
      'action in [Action::"a", Action::"b"] && {x: context.audience}.x == "u"',
      'decimal("1.0").lessThan(decimal("2.0")) && ip("10.0.0.1").isInRange(ip("10.0.0.0/8"))',
    ])
      expect(reads(condition), condition).toMatchObject({ fixed: true, resource: false });
  });

  it('is fixed only with a literal resource when it looks at the resource', () => {
    for (const condition of [
      'resource.system == "erp"',
      'resource in Resource::"erp"',
      'context.user == User::"a" && {r: resource}.r.path like "*x"',
      '[resource].contains(Resource::"erp/a")',
      'Resource::"erp/a" in Resource::"erp"',
      'principal has owner && resource is Resource',
    ])
      expect(reads(condition), condition).toMatchObject({ fixed: true, resource: true });
  });

  it('is not fixed when it is arguments, time, verdicts or anything not on the list', () => {
    for (const condition of [
      'context.args has amount',
      'context has args.amount',
      'context has args',
      'context.now > datetime("2030-01-01")',
      'context.dimensions.task',
      'context.session.calls > 3',
      'context == {user: 1}',
      '{c: context}.c.user == User::"a"',
      '[context].isEmpty()',
      'context.user == User::"a" || context.risk',
      'if context.risk then true else false',
      'datetime("2030-01-01").toTime() > duration("1h")',
    ])
      expect(reads(condition), condition).toMatchObject({ fixed: false, resource: true });
  });

  it('is not fixed when the JSON form has a node that nobody has heard of', () => {
    const policy = parse('forbid (principal, action, resource) when { true };');
    const bodies: unknown[] = [
      { now: {} },
      { '==': { left: { Value: 1 } } },
      { '==': { left: { Value: 1 }, right: { Value: 1 }, third: { Value: 1 } } },
      { Value: 1, Var: 'principal' },
      { Value: { __extn: { fn: 'now', arg: '' } } },
      { Slot: '?principal' },
      { Var: 'session' },
      { isInRange: { left: { Value: 1 } } },
      {},
      null,
      [],
      'x',
    ];
    for (const body of bodies) {
      const changed = { ...policy, conditions: [{ kind: 'when', body }] } as unknown as PolicyJson;
      expect(readsOf(changed), JSON.stringify(body)).toMatchObject({
        fixed: false,
        resource: true,
      });
    }
    const clause = { ...policy, conditions: [{ kind: 'whenever', body: { Value: true } }] };
    expect(readsOf(clause as unknown as PolicyJson).fixed).toBe(false);
  });
});
