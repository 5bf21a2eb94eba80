import { type Operation, parseOperation, permits, scope } from '@remit/capability';
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
  policies: policySet(3),
  ceiling: list,
  envelopes: fc.array(list, { minLength: 1, maxLength: 2 }),
  roles: fc.array(list, { minLength: 1, maxLength: 2 }),
  groups: fc.subarray(['treasury', 'interns']),
  operations: fc.array(operation, { minLength: 1, maxLength: 3 }),
});

const AGENT_IDS = ['procurement-agent', 'risk-analyst'];

/** Every operation of the small world, without arguments and with one that guardrails look at. */
const ALL_OPERATIONS: readonly Operation[] = ACTIONS.flatMap((action) =>
  RESOURCES.flatMap((resource) =>
    [{}, { amount: 5_000 }].map((args) => parseOperation({ action, resource, args })),
  ),
);

describe('a minted scope', () => {
  // Let the walker take `context.args` or a pattern's resource for fixed, or let a head that covers a
  // part count as none, and one of these two goes red.
  it('has no local permission that allows what the pdp, asked with the same facts, denies', {
    timeout: 60_000,
  }, () => {
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
        const ask = (one: Operation) =>
          evaluate(testDeps(), facts, set, {
            ...about,
            task: { id: 'task_A', type: summary.id },
            scope: given.ceiling,
            operation: one,
          });
        for (const one of ALL_OPERATIONS) {
          const answer = permits(granted, one);
          if (!answer.ok) continue;
          // The scope is the meet: never more than any dimension.
          expect(permits(ceiling, one).ok).toBe(true);
          const asked = ask(one);
          expect(asked.dimensions).toMatchObject({ agent: 'allow', user: 'allow', task: 'allow' });
          if (answer.online) {
            online += 1;
          } else {
            local += 1;
            expect(asked.decision, `${asked.policies.join()} at ${one.action}`).toBe('allow');
          }
        }
        if (minted.reason === 'scope_too_large' || minted.reason === 'policy_error') return;
        // And nothing that everybody allows is lost.
        for (const one of given.operations.map(parseOperation)) {
          if (!permits(granted, one).ok) expect(ask(one).decision).toBe('deny');
        }
      }),
      { numRuns: 150 },
    );
    // The property says something only where both kinds came up.
    expect(local).toBeGreaterThan(50);
    expect(online).toBeGreaterThan(50);
  });
});
