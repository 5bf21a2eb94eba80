import { ContractError, closed, conform, oneOf, type ToolBody, text } from '@remit/contracts';
import { type Static, Type } from 'typebox';
import { LineCounter, parseDocument } from 'yaml';
import type { Engine } from '../cedar/engine.ts';
import type { GuardrailSet, PolicyProblem } from '../cedar/guardrails.ts';
import type { AgentFact, Circumstances, Question } from '../cedar/request.ts';
import { askCedar } from '../decide/evaluate.ts';
import type { PolicyFiles } from '../store/tables.ts';

const id = text(128);
const attributes = Type.Record(
  Type.String({ maxLength: 64 }),
  Type.Union([Type.String({ maxLength: 512 }), Type.Boolean(), Type.Integer()]),
);
const agent = Type.Union([
  id,
  closed({
    id,
    owner: Type.Optional(text()),
    version: Type.Optional(Type.Integer({ minimum: 1 })),
    attributes: Type.Optional(attributes),
  }),
]);
const user = Type.Union([
  id,
  closed({
    id,
    groups: Type.Optional(Type.Array(id)),
    roles: Type.Optional(Type.Array(id)),
    attributes: Type.Optional(attributes),
  }),
]);

/**
 * One test beside the policies: a request with all its facts, and what must come out. Facts are given
 * here and not read from the registry, so that a test means the same next year.
 */
const policyTest = closed({
  title: text(200),
  request: closed({
    /** Origin first, current actor last. */
    agents: Type.Array(agent, { minItems: 1, maxItems: 9 }),
    user,
    client: Type.Optional(id),
    /** Needed only where two tools have the same action. */
    audience: Type.Optional(text(2_048)),
    task: Type.Optional(
      closed({ id: Type.Optional(id), type: id, purpose: Type.Optional(text()) }),
    ),
    action: text(),
    resource: text(),
    args: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    /** Verdicts of the three dimensions; all true unless given. */
    dimensions: Type.Optional(
      closed({
        agent: Type.Optional(Type.Boolean()),
        user: Type.Optional(Type.Boolean()),
        task: Type.Optional(Type.Boolean()),
      }),
    ),
    /** RFC 3339; a fixed day unless given. */
    time: Type.Optional(text(40)),
  }),
  expect: closed({
    decision: oneOf('allow', 'deny'),
    reason: Type.Optional(text(64)),
    policies: Type.Optional(Type.Array(text(128))),
  }),
});
type PolicyTest = Static<typeof policyTest>;

const testFile = Type.Array(policyTest, { minItems: 1, maxItems: 1_000 });
const DEFAULT_TIME = '2026-01-15T12:00:00Z';

/**
 * Runs the tests of a set against it. Returns what is wrong: a file that cannot be read, a request
 * that no tool takes, an outcome other than expected. Empty when all pass.
 */
export function runPolicyTests(
  engine: Engine,
  set: GuardrailSet,
  files: PolicyFiles,
  given: { tenant: string; tools: readonly ToolBody[] },
): { problems: PolicyProblem[]; passed: number } {
  const problems: PolicyProblem[] = [];
  let passed = 0;
  for (const [file, content] of Object.entries(files).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const read = readTests(file, content);
    problems.push(...read.problems);
    for (const { test, line } of read.tests) {
      const message = runOne(engine, set, test, given);
      if (message === undefined) passed += 1;
      else problems.push({ file, line, column: 1, message: `"${test.title}": ${message}` });
    }
  }
  return { problems: problems.slice(0, 50), passed };
}

function readTests(
  file: string,
  content: string,
): { tests: { test: PolicyTest; line: number }[]; problems: PolicyProblem[] } {
  const lines = new LineCounter();
  const document = parseDocument(content, { lineCounter: lines, uniqueKeys: true, strict: true });
  const [broken] = document.errors;
  if (broken) {
    const { line, col } = lines.linePos(broken.pos[0]);
    const message = broken.message.split('\n')[0] ?? 'not YAML';
    return { tests: [], problems: [{ file, line, column: col, message }] };
  }
  try {
    // No aliases: a small file must not unfold to a large one.
    const value = conform(testFile, document.toJS({ maxAliasCount: 0 }));
    return {
      tests: value.map((test, i) => ({ test, line: lineOf(document.getIn([i], true), lines) })),
      problems: [],
    };
  } catch (error) {
    const path = error instanceof ContractError ? error.message : 'the file is not a list of tests';
    return { tests: [], problems: [{ file, line: 1, column: 1, message: path }] };
  }
}

function lineOf(node: unknown, lines: LineCounter): number {
  const { range } = (node ?? {}) as { range?: [number, number, number] };
  return range ? lines.linePos(range[0]).line : 1;
}

/** Undefined when the outcome is as expected, otherwise a sentence. */
function runOne(
  engine: Engine,
  set: GuardrailSet,
  { request, expect }: PolicyTest,
  given: { tenant: string; tools: readonly ToolBody[] },
): string | undefined {
  const tool = given.tools.find(
    ({ actions, audience }) =>
      actions.includes(request.action) && audience === (request.audience ?? audience),
  );
  if (!tool) return `no tool of the registry has the action ${request.action}`;
  const dimensions = { agent: true, user: true, task: true, ...request.dimensions };
  const nowMs = Date.parse(request.time ?? DEFAULT_TIME);
  if (Number.isNaN(nowMs)) return 'the time is not one';
  const question: Question = {
    action: request.action,
    resource: request.resource,
    args: request.args ?? {},
    dimensions,
    nowMs,
  };
  const answer = askCedar(() => engine.ask(set, factsOf(request, given.tenant, tool), question));
  const reason = reasonOf(answer, dimensions);
  if (answer.decision !== expect.decision)
    return `expected ${expect.decision}, got ${answer.decision} (${reason}${named(answer)})`;
  if (expect.reason !== undefined && reason !== expect.reason)
    return `expected the reason ${expect.reason}, got ${reason}${named(answer)}`;
  const policies = answer.failed.length > 0 ? answer.failed : answer.forbidding;
  if (expect.policies && expect.policies.toSorted().join() !== policies.join())
    return `expected the policies ${expect.policies.join(', ')}, got ${policies.join(', ') || 'none'}`;
  return undefined;
}

type Answer = ReturnType<Engine['ask']>;

function named({ failed, forbidding }: Answer): string {
  const ids = [...failed, ...forbidding];
  return ids.length > 0 ? `: ${ids.join(', ')}` : '';
}

function reasonOf(answer: Answer, dimensions: Question['dimensions']): string {
  if (answer.failed.length > 0) return 'policy_error';
  if (!dimensions.agent) return 'agent_envelope';
  if (!dimensions.user) return 'user_entitlement';
  if (!dimensions.task) return 'task_scope';
  return answer.decision === 'allow' ? 'permitted' : 'policy_forbid';
}

function factsOf(request: PolicyTest['request'], tenant: string, tool: ToolBody): Circumstances {
  const agents = request.agents.map(agentFact) as [AgentFact, ...AgentFact[]];
  const who = typeof request.user === 'string' ? { id: request.user } : request.user;
  return {
    tenant,
    client: request.client ?? agents[agents.length - 1]?.id ?? '',
    audience: tool.audience,
    agents,
    user: { groups: [], roles: [], attributes: {}, ...who },
    task: { id: 'task_test', type: 'test', purpose: 'test', ...request.task },
    tool,
  };
}

function agentFact(given: Static<typeof agent>): AgentFact {
  const about = typeof given === 'string' ? { id: given } : given;
  return { owner: 'nobody', version: 1, attributes: {}, ...about };
}
