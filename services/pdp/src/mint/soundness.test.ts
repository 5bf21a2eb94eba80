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

const COUNTS = { calls: 9, denials: 0, volume: 0 };

/** What holds at the call, and was not known when the token was minted. */
const AT_THE_CALL = {
  approval: 'appr_1',
  signals: { ip: '10.1.2.3', risk: 90, acr: 'phr' },
  attested: { resource: { status: 'archived' } },
};

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
            ...AT_THE_CALL,
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

  // Put any one member on the walker's list of fixed ones, and its line goes red.
  it('has none that a fact of the call alone could refuse', () => {
    const about = {
      tenant: 'acme',
      actors: ['procurement-agent'],
      user: 'alice',
      client: 'procurement-agent',
      audience: AUDIENCE,
    };
    const whole = [
      { actions: ['suppliers.read'], resources: ['erp/suppliers/S-1'], args: 'any' as const },
    ];
    for (const condition of [
      'context has approval',
      'context.risk has score && context.risk.score > 50',
      'context.network has ip && context.network.ip.isInRange(ip("10.0.0.0/8"))',
      'context.authentication has acr',
      'context.attested.resource.hasTag("status")',
      'context.session.calls > 3',
      'context.dimensions.task',
      'context.now > datetime("2020-01-01")',
    ]) {
      const policy = `@id("p") forbid (principal, action, resource) when { ${condition} };`;
      const set = readGuardrails(`one:${condition}`, { 'p.cedar': policy });
      const minted = mint(testDeps(), factsOf(), set, {
        ...about,
        task: { id: 'task_A', type: summary.id, slots: {}, ceiling: whole },
        narrow: false,
      });
      const asked = evaluate(testDeps(), factsOf(), set, {
        ...about,
        ...AT_THE_CALL,
        session: { ...COUNTS, tools: [], actions: [], recent: COUNTS },
        task: { id: 'task_A', type: summary.id },
        scope: whole,
        operation: { action: 'suppliers.read', resource: 'erp/suppliers/S-1', args: {} },
      });
      expect(asked.reason, condition).toBe('policy_forbid');
      expect(minted.permissions, condition).toMatchObject([{ check: 'online' }]);
    }
  });
});
