import { describe, expect, it } from 'vitest';
import { AUDIENCE, erp, guardrails, NOW_MS, taskRef } from '../test/fixtures.ts';
import { createEngine } from './engine.ts';
import { readGuardrails } from './guardrails.ts';
import type { Circumstances, Question } from './request.ts';

const facts: Circumstances = {
  tenant: 'acme',
  client: 'a',
  audience: AUDIENCE,
  agents: [{ id: 'a', owner: 'o', version: 1, attributes: {} }],
  user: { id: 'u', groups: [], roles: [], attributes: {} },
  task: { ...taskRef, purpose: 'p' },
  tool: erp,
};
const question = (more: Partial<Question> = {}): Question => ({
  action: 'suppliers.read',
  resource: 'erp/suppliers/S-1',
  args: {},
  dimensions: { agent: true, user: true, task: true },
  nowMs: NOW_MS,
  ...more,
});

describe('the engine', () => {
  const engine = createEngine({ prefix: 'engine-test', policySlots: 2, schemaSlots: 1 });

  it('permits only with all three verdicts, whatever the guardrails', () => {
    for (const agent of [true, false])
      for (const user of [true, false])
        for (const task of [true, false]) {
          const answer = engine.ask(
            guardrails(),
            facts,
            question({ dimensions: { agent, user, task } }),
          );
          expect(answer).toEqual({
            decision: agent && user && task ? 'allow' : 'deny',
            forbidding: [],
            failed: [],
          });
        }
  });

  // Cedar itself answers allow here: it skips the policy that fails.
  it('denies when a policy fails, and names it', () => {
    const set = guardrails(
      '@id("overflow") forbid (principal, action, resource) when { principal.version + 9223372036854775807 > 0 };',
    );
    expect(engine.ask(set, facts, question())).toEqual({
      decision: 'deny',
      forbidding: [],
      failed: ['overflow'],
    });
  });

  it('denies a request that does not fit the schema', () => {
    expect(engine.ask(guardrails(), facts, question({ action: 'suppliers.fly' }))).toEqual({
      decision: 'deny',
      forbidding: [],
      failed: ['remit:request'],
    });
  });

  it('does not mix up sets and tools, with more of them than slots', () => {
    const sets = ['a', 'b', 'c', 'd'].map((id) =>
      guardrails(`@id("${id}") forbid (principal, action == Action::"suppliers.read", resource);`),
    );
    const other = { ...erp, id: 'crm', actions: ['suppliers.read'] };
    for (let round = 0; round < 3; round++) {
      for (const [i, set] of sets.entries()) {
        const tool = (i + round) % 2 === 0 ? erp : other;
        expect(engine.ask(set, { ...facts, tool }, question()).forbidding).toEqual([
          set.guardrails[0]?.id,
        ]);
        const orders = question({ action: 'orders.create', resource: 'erp/orders' });
        expect(engine.ask(set, { ...facts, tool }, orders).failed).toEqual(
          tool === erp ? [] : ['remit:request'],
        );
      }
    }
  });

  it('throws rather than answer from a set that does not parse', () => {
    const good = guardrails('@id("good") forbid (principal, action, resource);');
    const bad = readGuardrails('bad', {
      'p.cedar': '@id("bad") forbid (principal, action, resource);',
    });
    const broken = {
      ...bad,
      guardrails: bad.guardrails.map((one) => ({ ...one, text: 'forbid (' })),
    };
    expect(engine.ask(good, facts, question()).decision).toBe('deny');
    for (const _again of [1, 2, 3]) {
      expect(() => engine.ask(broken, facts, question())).toThrow(
        expect.objectContaining({ code: 'POLICY_ERROR' }),
      );
    }
  });
});
