import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AGENTS, operation, policySet } from '../test/arbitrary.ts';
import { AUDIENCE, erp, guardrails, NOW_MS, taskRef, testEngine } from '../test/fixtures.ts';
import { readGuardrails } from './guardrails.ts';
import type { Circumstances, Question } from './request.ts';
import { createIndex } from './slice.ts';

const about = (agent: string): Circumstances => ({
  tenant: 'acme',
  client: 'procurement-agent',
  audience: AUDIENCE,
  agents: [{ id: agent, owner: 'team-procurement', version: 1, attributes: {} }],
  user: {
    id: 'alice',
    groups: ['treasury'],
    roles: ['buyer'],
    attributes: { department: 'treasury' },
  },
  task: { ...taskRef, purpose: 'p' },
  tool: erp,
});

const question = (asked: Pick<Question, 'action' | 'resource' | 'args'>): Question => ({
  ...asked,
  dimensions: { agent: true, user: true, task: true },
  nowMs: NOW_MS,
});

describe('the slice of a set', () => {
  // Let the index leave out one bucket, e.g. byResource of an ancestor, and this goes red.
  it('decides as the whole set does, for any policies and requests', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(
        policySet(12),
        fc.array(fc.tuple(fc.constantFrom(...AGENTS), operation), { minLength: 1, maxLength: 6 }),
        (text, requests) => {
          // Not validated: a policy that can never apply must make no difference either.
          const set = readGuardrails(`s:${text}`, text === '' ? {} : { 'p.cedar': text });
          for (const [agent, asked] of requests) {
            const facts = about(agent);
            const sliced = testEngine().ask(set, facts, question(asked));
            const all = testEngine().ask(set, facts, question(asked), [...set.guardrails.keys()]);
            expect(sliced).toEqual(all);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('holds only policies whose head can match', () => {
    const set = guardrails(`
      @id("open") forbid (principal, action, resource) when { context.tenant == "x" };
      @id("agent") forbid (principal == Agent::"risk-analyst", action, resource);
      @id("group") forbid (principal, action in Action::"suppliers.**", resource);
      @id("action") forbid (principal, action == Action::"orders.create", resource);
      @id("below") forbid (principal, action, resource in Resource::"erp/suppliers");
      @id("exact") forbid (principal == Agent::"risk-analyst", action, resource == Resource::"erp/suppliers/S-1");`);
    const names = (principal: string, action: string, resource: string) =>
      set.index
        .candidates({ principal, action }, resource)
        .map((position) => set.guardrails[position]?.id);
    expect(names('a', 'suppliers.risk.read', 'erp/suppliers/S-1')).toEqual([
      'open',
      'group',
      'below',
    ]);
    expect(names('a', 'orders.create', 'erp/orders')).toEqual(['open', 'action']);
    expect(names('risk-analyst', 'contracts.read', 'erp/suppliers/S-1')).toEqual([
      'open',
      'agent',
      'below',
      'exact',
    ]);
  });

  it('looks at none of ten thousand policies about others', () => {
    const any = { op: 'any' } as const;
    let looked = 0;
    const others = Array.from({ length: 10_000 }, (_, i) => ({
      get head() {
        looked += 1;
        return {
          principal: any,
          action: any,
          resource: { op: 'eq', id: `erp/orders/${i}` },
        } as const;
      },
    }));
    const index = createIndex(others);
    looked = 0;
    const subject = { principal: 'a', action: 'orders.create' };
    expect(index.candidates(subject, 'erp/orders')).toEqual([]);
    expect(looked).toBe(0);
    expect(index.candidates(subject, 'erp/orders/9999')).toEqual([9_999]);
    expect(looked).toBe(1);
  });
});
