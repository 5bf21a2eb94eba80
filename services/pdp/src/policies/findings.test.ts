import { describe, expect, it } from 'vitest';
import { headMatches } from '../cedar/head.ts';
import { guardrails } from '../test/fixtures.ts';
import { covers } from './covers.ts';
import { findingsOf } from './findings.ts';

const found = (text: string) =>
  findingsOf(guardrails(text).guardrails).map(({ policy, kind, by }) => [policy, kind, by]);

describe('guardrails that decide nothing', () => {
  it('are those whose every request another one forbids', () => {
    expect(
      found(`@id("all") forbid (principal, action in Action::"orders.**", resource);
        @id("one") forbid (principal, action == Action::"orders.create", resource)
        when { context.user in Group::"treasury" };`),
    ).toEqual([['one', 'covered', 'all']]);
  });

  it('are those of the same conditions under a narrower head, however they are spelled', () => {
    expect(
      found(`@id("a") forbid (principal, action, resource in Resource::"erp")
        when { context.client == "x" };
        @id("b") forbid (principal, action == Action::"suppliers.read", resource in Resource::"erp/suppliers")
        when {context.client=="x"};`),
    ).toEqual([['b', 'covered', 'a']]);
  });

  it('of two equal ones, are the later one alone', () => {
    const text = (id: string) => `@id("${id}") forbid (principal, action, resource);`;
    expect(found(text('a') + text('b'))).toEqual([['b', 'covered', 'a']]);
  });

  it('are not those that merely look alike', () => {
    expect(
      found(`@id("group") forbid (principal, action in Action::"orders.**", resource)
        when { context.client == "x" };
        @id("wider") forbid (principal, action, resource) when { context.client == "x" && context.tenant == "acme" };
        @id("below") forbid (principal, action, resource in Resource::"erp/orders");
        @id("above") forbid (principal, action == Action::"orders.create", resource in Resource::"erp")
        when { context.client == "y" };`),
    ).toEqual([]);
  });

  // A guardrail that asks for an approval does not refuse what it covers: leave `obligation:` out of
  // conditionsOf and this goes red.
  it('are not those below one that asks for something instead of refusing', () => {
    expect(
      found(`@id("ask") @obligation("approval") forbid (principal, action, resource);
        @id("never") forbid (principal, action == Action::"orders.create", resource);`),
    ).toEqual([]);
  });
});

describe('a head that covers another', () => {
  it('matches every request that the other matches', () => {
    const actions = [
      'action',
      'action == Action::"orders.create"',
      'action in Action::"orders.**"',
    ];
    const resources = [
      'resource',
      'resource == Resource::"erp/orders"',
      'resource in Resource::"erp"',
      'resource in Resource::"erp/orders"',
    ];
    const heads = actions.flatMap((action) =>
      resources.map(
        (resource) =>
          guardrails(`@id("x") forbid (principal, ${action}, ${resource});`).guardrails[0]?.head,
      ),
    );
    let pairs = 0;
    for (const wide of heads) {
      for (const narrow of heads) {
        if (!wide || !narrow || !covers(wide, narrow)) continue;
        pairs += 1;
        for (const action of ['orders.create', 'suppliers.read']) {
          for (const resource of ['erp', 'erp/orders', 'erp/orders/7', 'crm']) {
            const subject = { principal: 'a', action };
            if (headMatches(narrow, subject, resource))
              expect(headMatches(wide, subject, resource)).toBe(true);
          }
        }
      }
    }
    expect(pairs).toBeGreaterThan(heads.length);
  });
});
