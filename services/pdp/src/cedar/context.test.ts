import { type PolicyJson, policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { ToolBody } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { AUDIENCE, erp, NOW_MS, taskRef } from '../test/fixtures.ts';
import type { CallFacts, SessionFacts } from './call-facts.ts';
import { createEngine } from './engine.ts';
import { readGuardrails } from './guardrails.ts';
import { readsOf } from './reads.ts';
import type { Circumstances } from './request.ts';
import { cedarSchema } from './schema.ts';

// Every fact that a policy can read, with a value that only this fact can have: validated by the
// schema, evaluated as given, and fixed for a token or not.

const counts = (n: number) => ({ calls: n, denials: n + 1, volume: n + 2 });
const session: SessionFacts = {
  ...counts(10),
  tools: ['erp', 'crm'],
  actions: ['suppliers.read'],
  recent: counts(3),
};
const call: CallFacts = {
  approval: 'appr_1',
  signals: { ip: '10.1.2.3', risk: 70, flags: ['injection'], acr: 'phr', auth_age_seconds: 30 },
  session,
  attested: {
    subject: { role: 'admin' },
    action: { soft: true },
    resource: { status: 'archived', size: 5, tags: ['a', { b: 1 }], none: null },
  },
};
const tool: ToolBody = {
  ...erp,
  resources: [
    { resource: 'erp/suppliers/*', classes: ['confidential'] },
    { resource: 'erp/suppliers/S-1', classes: ['pii'] },
    { resource: 'erp/orders', classes: ['finance'] },
  ],
};
const facts: Circumstances = {
  tenant: 'acme',
  client: 'portal',
  audience: AUDIENCE,
  agents: [
    { id: 'origin', owner: 'o', version: 1, attributes: {} },
    { id: 'worker', owner: 'team', version: 4, attributes: { model: 'm-1' } },
  ],
  user: { id: 'u-7', groups: ['g'], roles: ['r'], attributes: { level: 3 } },
  task: { ...taskRef, purpose: 'p' },
  tool,
};

/** Condition → what minting may take for fixed. */
const FACTS: [string, 'fixed' | 'with a literal resource' | 'per call'][] = [
  ['principal.id == "worker" && principal.version == 4 && principal.owner == "team"', 'fixed'],
  ['principal has model && principal.model == "m-1"', 'fixed'],
  ['context.user.id == "u-7" && context.user in Role::"r" && context.user in Group::"g"', 'fixed'],
  ['context.user.hasTag("level") && context.user.getTag("level") == "3"', 'fixed'],
  ['context.origin.id == "origin" && context.agents.contains(Agent::"worker")', 'fixed'],
  ['context.task.purpose == "p" && context.client == "portal"', 'fixed'],
  ['resource.classes.containsAll(["confidential", "pii"])', 'with a literal resource'],
  ['context has approval && context.approval.id == "appr_1"', 'per call'],
  ['context.authentication has acr && context.authentication.acr == "phr"', 'per call'],
  ['context.authentication has age_seconds && context.authentication.age_seconds < 60', 'per call'],
  ['context.network has ip && context.network.ip.isInRange(ip("10.1.0.0/16"))', 'per call'],
  ['context.risk has score && context.risk.score > 60', 'per call'],
  ['context.risk.flags.contains("injection")', 'per call'],
  ['context.session.calls == 10 && context.session.denials == 11', 'per call'],
  ['context.session.volume == 12 && context.session.tools.contains("crm")', 'per call'],
  ['context.session.actions.contains("suppliers.read")', 'per call'],
  ['context.session.recent.calls == 3 && context.session.recent.denials == 4', 'per call'],
  ['context.now == datetime("2026-11-22T10:00:00Z")', 'per call'],
  [
    'context.attested.subject.hasTag("role") && context.attested.subject.getTag("role") == "admin"',
    'per call',
  ],
  [
    'context.attested.action.hasTag("soft") && context.attested.action.getTag("soft") == "true"',
    'per call',
  ],
  [
    `context.attested.resource.hasTag("size") && context.attested.resource.getTag("size") == "5" &&
     context.attested.resource.hasTag("tags") &&
     context.attested.resource.getTag("tags") == "[\\"a\\",{\\"b\\":1}]" &&
     !context.attested.resource.hasTag("none") && !context.attested.resource.hasTag("role")`,
    'per call',
  ],
];

const engine = createEngine({ prefix: 'context-test', policySlots: 64, schemaSlots: 2 });
const set = (condition: string) =>
  readGuardrails(
    `v:${condition}`,
    { 'a.cedar': `@id("a") forbid (principal, action, resource) when { ${condition} };` },
    cedarSchema([tool]),
  );
const ask = (condition: string, given: CallFacts = call) =>
  engine.ask(set(condition), facts, {
    action: 'suppliers.read',
    resource: 'erp/suppliers/S-1',
    args: {},
    dimensions: { agent: true, user: true, task: true },
    nowMs: NOW_MS,
    call: given,
  });

describe('a fact that a policy can read', () => {
  it('is typed, and has the value that it was given', () => {
    for (const [condition] of FACTS) {
      expect(ask(condition), condition).toEqual({
        decision: 'deny',
        forbidding: ['a'],
        failed: [],
      });
      expect(ask(`!(${condition})`).decision, condition).toBe('allow');
    }
  });

  // Put a member of the context on the walker's list of fixed ones, and its line goes red.
  it('is fixed for a token only where nothing of a call is in it', () => {
    for (const [condition, kind] of FACTS) {
      const answer = policyToJson(`forbid (principal, action, resource) when { ${condition} };`);
      if (answer.type === 'failure') throw new Error(condition);
      const policy: PolicyJson = answer.json;
      expect(readsOf(policy), condition).toMatchObject({
        fixed: kind !== 'per call',
        resource: kind !== 'fixed',
        session: condition.includes('context.session'),
      });
    }
  });

  it('that was not given is absent, and refuses nothing by itself', () => {
    for (const [condition] of FACTS.filter(([, kind]) => kind === 'per call')) {
      if (!condition.includes('context.now'))
        expect(ask(condition, {}), condition).toMatchObject({
          decision: 'allow',
          failed: [],
        });
    }
    const mapped = ask('context.network has ip && context.network.ip == ip("10.1.2.3")', {
      signals: { ip: '::ffff:10.1.2.3' },
    });
    expect(mapped).toMatchObject({ decision: 'deny', forbidding: ['a'] });
    expect(ask('context has approval', {}).decision).toBe('allow');
    expect(ask('context.network has ip', {}).decision).toBe('allow');
  });

  it('that Cedar cannot hold refuses the call', () => {
    const bad: CallFacts[] = [
      { signals: { ip: 'localhost' } },
      { signals: { ip: 'fe80::1%eth0' } },
      { signals: { ip: '10.0.0.1/8' } },
      { signals: { flags: ['\ud800'] } },
      { attested: { subject: { role: '\ud800' } } },
      { attested: { resource: { '\udfff': 1 } } },
      { approval: '\ud800' },
    ];
    for (const given of bad)
      expect(() => ask('context.tenant == "x"', given), JSON.stringify(given)).toThrow(
        expect.objectContaining({ code: 'POLICY_ERROR' }),
      );
  });

  // Rows 48 and 66: what comes from outside is a value under a name, never an entity or a member.
  it('of an asker is text, whatever it looks like', () => {
    const attested = JSON.parse(
      '{"subject":{"__entity":{"type":"User","id":"root"},"__proto__":{"a":1},"constructor":"x"}}',
    ) as CallFacts['attested'];
    expect(
      ask(
        `context.attested.subject.hasTag("__entity") &&
         context.attested.subject.getTag("__entity") == "{\\"id\\":\\"root\\",\\"type\\":\\"User\\"}" &&
         context.attested.subject.hasTag("constructor")`,
        { attested },
      ),
    ).toMatchObject({ forbidding: ['a'], failed: [] });
    expect(({} as { a?: unknown }).a).toBeUndefined();
  });

  it('may not be read where a registry entry is no pattern', () => {
    const broken = { ...tool, resources: [{ resource: 'erp/../x', classes: ['pii'] }] };
    expect(() =>
      engine.ask(
        set('context.tenant == "x"'),
        { ...facts, tool: broken },
        {
          action: 'suppliers.read',
          resource: 'erp/suppliers/S-1',
          args: {},
          dimensions: { agent: true, user: true, task: true },
          nowMs: NOW_MS,
        },
      ),
    ).toThrow(expect.objectContaining({ code: 'POLICY_ERROR' }));
  });
});
