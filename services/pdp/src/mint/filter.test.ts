import { parseOperation } from '@remit/capability';
import type { PermissionJson } from '@remit/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type GuardrailSet, readGuardrails } from '../cedar/guardrails.ts';
import { evaluate } from '../decide/evaluate.ts';
import { ACTIONS, permission, policySet } from '../test/arbitrary.ts';
import {
  AUDIENCE,
  actor,
  everything,
  type FactsOptions,
  factsOf,
  guardrails,
  taskRef,
  testDeps,
} from '../test/fixtures.ts';
import { filter } from './filter.ts';

const about = {
  tenant: 'acme',
  actors: ['procurement-agent'],
  user: 'alice',
  client: 'procurement-agent',
  task: taskRef,
  audience: AUDIENCE,
};

const offers = (
  candidates: { action: string; resource: string }[],
  given: {
    set?: GuardrailSet;
    facts?: FactsOptions;
    scope?: PermissionJson[];
    everyCall?: boolean;
  } = {},
) =>
  filter(
    testDeps({ everyCall: () => given.everyCall === true }),
    factsOf(given.facts ?? {}),
    given.set ?? guardrails(),
    { ...about, scope: given.scope ?? everything, candidates },
  ).verdicts.map(({ offer, reason }) => `${offer} ${reason}`);

const READ = { action: 'suppliers.read', resource: 'erp/suppliers/*' };
const ORDER = { action: 'orders.create', resource: 'erp/orders' };

describe('tools that may be offered', () => {
  it('are those of which a call may be allowed, each with who decides it', () => {
    const set = guardrails(
      `@id("large") forbid (principal, action == Action::"orders.create", resource)
         when { context.args has amount };
       @id("no-export") forbid (principal, action == Action::"suppliers.export", resource);
       @id("masked") @obligation("redact") @fields("iban")
         forbid (principal, action == Action::"contracts.read", resource);`,
    );
    expect(
      offers(
        [
          READ,
          ORDER,
          { action: 'suppliers.export', resource: 'erp/suppliers' },
          { action: 'contracts.read', resource: 'erp/contracts/*' },
          { action: 'suppliers.fly', resource: 'erp/suppliers' },
          { action: 'suppliers.*', resource: 'erp/suppliers' },
          { action: 'suppliers.read', resource: '../x' },
        ],
        { set },
      ),
    ).toEqual([
      'local permitted',
      'online permitted',
      'never policy_forbid',
      'online permitted',
      'never task_scope',
      'never arguments_invalid',
      'never arguments_invalid',
    ]);
  });

  it('are none of what one dimension refuses, which is named', () => {
    const orders: PermissionJson[] = [
      { actions: ['orders.create'], resources: ['erp/orders'], args: ['amount'] },
    ];
    expect(offers([READ, ORDER], { scope: orders })).toEqual([
      'never task_scope',
      'local permitted',
    ]);
    expect(offers([READ], { facts: { actors: [actor(orders)] } })).toEqual([
      'never agent_envelope',
    ]);
    expect(offers([READ], { facts: { entitlement: [orders] } })).toEqual([
      'never user_entitlement',
    ]);
    expect(offers([READ], { facts: { userActive: false } })).toEqual(['never user_inactive']);
    expect(offers([READ], { facts: { taskType: null } })).toEqual(['never task_scope']);
    expect(offers([READ], { facts: { tool: null } })).toEqual(['never target_unknown']);
    expect(offers([READ], { everyCall: true })).toEqual(['online permitted']);
    expect(
      offers([READ], { scope: [{ ...everything[0], check: 'online' } as PermissionJson] }),
    ).toEqual(['online permitted']);
  });

  // The exact meaning. Offer by the token alone, forget an envelope, or take an online guardrail for a
  // plain no, and one of the three goes red.
  it('are all that a call could be allowed of; and locally offered ones always have such a call', () => {
    const list = fc.oneof(fc.array(permission, { minLength: 1, maxLength: 3 }), {
      weight: 2,
      arbitrary: fc.constant(everything),
    });
    const seen = { never: 0, online: 0, local: 0 };
    fc.assert(
      fc.property(
        fc.record({
          policies: fc.oneof({ weight: 4, arbitrary: policySet(2) }, fc.constant('')),
          scope: list,
          envelope: list,
          role: list,
        }),
        ({ policies, scope, envelope, role }) => {
          const set = readGuardrails(
            `f:${policies}`,
            policies === '' ? {} : { 'p.cedar': policies },
          );
          const facts = factsOf({ actors: [actor(envelope)], entitlement: [role] });
          const candidates = ACTIONS.flatMap((action) =>
            ['erp/suppliers/S-1', 'erp/orders'].map((resource) => ({ action, resource })),
          );
          const { verdicts } = filter(testDeps(), facts, set, { ...about, scope, candidates });
          for (const [i, one] of candidates.entries()) {
            const { offer, reason } = verdicts[i] as (typeof verdicts)[number];
            seen[offer] += 1;
            const answers = [{}, { amount: 5_000 }, { supplier: 'S-1' }].map((args) =>
              evaluate(testDeps(), facts, set, {
                ...about,
                scope,
                operation: parseOperation({ ...one, args }),
              }),
            );
            const allowed = answers.some(({ decision }) => decision === 'allow');
            const says = `${one.action} on ${one.resource}: ${offer} ${reason}`;
            // Not offered: no call of it is allowed. Offered locally: one is.
            if (offer === 'never') expect(allowed, says).toBe(false);
            if (offer === 'local') expect(allowed, says).toBe(true);
            // Allowed, so it was offered.
            if (allowed) expect(offer, says).not.toBe('never');
          }
        },
      ),
      { numRuns: 100 },
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
  }, 60_000);
});
