import { type Operation, parseOperation, permits, scope } from '@remit/capability';
import type { PermissionJson } from '@remit/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readGuardrails } from '../cedar/guardrails.ts';
import { evaluate } from '../decide/evaluate.ts';
import { ACTIONS, operation, permission, policySet, RESOURCES } from '../test/arbitrary.ts';
import {
  AUDIENCE,
  actor,
  agentBody,
  factsOf,
  summary,
  testDeps,
  userBody,
} from '../test/fixtures.ts';
import { mint } from './mint.ts';

const list = fc.array(permission, { minLength: 1, maxLength: 3 });
const world = fc.record({
  policies: policySet(4),
  ceiling: list,
  envelopes: fc.array(list, { minLength: 1, maxLength: 2 }),
  roles: fc.array(list, { minLength: 1, maxLength: 2 }),
  groups: fc.subarray(['treasury', 'interns']),
  operations: fc.array(operation, { minLength: 1, maxLength: 4 }),
});

const AGENT_IDS = ['procurement-agent', 'risk-analyst'];

/** Every operation of the small world without arguments, and the generated ones with some. */
function allOperations(extra: readonly unknown[]): Operation[] {
  const plain = ACTIONS.flatMap((action) =>
    RESOURCES.map((resource) => ({ action, resource, args: {} })),
  );
  return [...plain, ...extra].map(parseOperation);
}

describe('a minted scope', () => {
  // Let the walker take `context.args` or a pattern's resource for fixed, or let a head that covers a
  // part count as none, and one of these two goes red.
  it('has no local permission that allows what the pdp, asked with the same facts, denies', () => {
    let local = 0;
    let online = 0;
    fc.assert(
      fc.property(world, (given) => {
        const set = readGuardrails(
          `p:${given.policies}`,
          given.policies === '' ? {} : { 'p.cedar': given.policies },
        );
        const facts = factsOf({
          actors: given.envelopes.map((envelope, i) =>
            actor(envelope, agentBody(AGENT_IDS[i] as string)),
          ),
          user: userBody('alice', { groups: given.groups }),
          entitlement: given.roles,
        });
        const about = {
          tenant: 'acme',
          actors: AGENT_IDS.slice(0, given.envelopes.length),
          user: 'alice',
          client: 'procurement-agent',
          audience: AUDIENCE,
        };
        const minted = mint(testDeps(), facts, set, {
          ...about,
          task: { id: 'task_A', type: summary.id, slots: {}, ceiling: given.ceiling },
          narrow: false,
        });
        const granted = scope(minted.permissions);
        const ceiling = scope(given.ceiling);
        for (const one of allOperations(given.operations)) {
          const answer = permits(granted, one);
          const asked = evaluate(testDeps(), facts, set, {
            ...about,
            task: { id: 'task_A', type: summary.id },
            scope: given.ceiling,
            operation: one as unknown as PermissionJson & Operation,
          });
          if (answer.ok) {
            // The scope is the meet: never more than any dimension.
            expect(permits(ceiling, one).ok).toBe(true);
            expect(asked.dimensions).toMatchObject({
              agent: 'allow',
              user: 'allow',
              task: 'allow',
            });
            if (!answer.online) expect(asked.decision).toBe('allow');
            if (answer.online) online += 1;
            else local += 1;
          } else if (minted.reason !== 'scope_too_large' && minted.reason !== 'policy_error') {
            // And nothing that everybody allows is lost.
            expect(asked.decision).toBe('deny');
          }
        }
      }),
      { numRuns: 120 },
    );
    // The property says something only where both kinds came up.
    expect(local).toBeGreaterThan(50);
    expect(online).toBeGreaterThan(50);
  });
});
