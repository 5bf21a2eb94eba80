import type { Permission } from '@remit/capability';
import type { Engine } from '../cedar/engine.ts';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import { coverage, subjectMatches } from '../cedar/head.ts';
import type { AgentFact, Circumstances } from '../cedar/request.ts';
import { PdpError } from '../errors.ts';

/** What the guardrails say of a permission as a whole. */
export type Judgement = {
  /**
   * `local`: no guardrail can forbid anything in it while its facts hold. `online`: one may, so the
   * PDP must be asked per call. `forbidden`: guardrails forbid all of it, for ever.
   */
  verdict: 'local' | 'online' | 'forbidden';
  policies: readonly string[];
};

type Cell = { action: string; resource: string };

/**
 * Judges a permission over its cells, one per action and resource. In a cell, a guardrail whose head
 * covers all of it and that reads fixed facts alone is decided here; one whose head covers part of it,
 * or that reads anything else, leaves the cell to be asked online.
 * A guardrail that asks for a duty is never decided here: a token cannot carry what must be fulfilled.
 * With `everyCall`, something outside of the set has a say in each call.
 * Throws PdpError `POLICY_ERROR` when a guardrail decided here fails: it would fail at every call too.
 */
export function judge(
  engine: Engine,
  set: GuardrailSet,
  facts: Circumstances,
  permission: Permission,
  nowMs: number,
  everyCall = false,
): Judgement {
  const cells = permission.actions.flatMap((action) =>
    permission.resources.map((resource): Cell => ({ action, resource })),
  );
  const known = new Map<string, readonly string[]>();
  const policies = new Set<string>();
  let forbidden = 0;
  let open = 0;
  for (const cell of cells) {
    const { decided, online } = split(set, facts, cell);
    const forbidding = decide(engine, set, facts, cell, decided, nowMs, known);
    for (const id of forbidding) policies.add(id);
    if (forbidding.length > 0) forbidden += 1;
    else if (online) open += 1;
  }
  const ids = [...policies].toSorted();
  if (forbidden === cells.length) return { verdict: 'forbidden', policies: ids };
  // Counts of a session are whole only where no call of it is decided elsewhere.
  const asked =
    permission.check === 'online' || forbidden > 0 || open > 0 || set.readsSession || everyCall;
  return { verdict: asked ? 'online' : 'local', policies: ids };
}

/** The guardrails that can apply in a cell: those to decide now, and whether any is left for later. */
function split(
  set: GuardrailSet,
  facts: Circumstances,
  { action, resource }: Cell,
): { decided: number[]; online: boolean } {
  // A scope met with a tool's actions names them literally; anything else is left to the call.
  if (action.includes('*')) return { decided: [], online: true };
  const principal = (facts.agents.at(-1) as AgentFact).id;
  const subject = { principal, action };
  const literal = !resource.includes('*');
  const candidates = literal
    ? set.index.candidates(subject, resource)
    : [...set.guardrails.keys()].filter((position) => {
        const { head } = set.guardrails[position] as (typeof set.guardrails)[number];
        return subjectMatches(head, subject) && coverage(head, resource) !== 'none';
      });
  const decided: number[] = [];
  for (const position of candidates) {
    const { head, reads, asks } = set.guardrails[position] as (typeof set.guardrails)[number];
    if (asks?.kind === 'duty') continue;
    const whole = literal || coverage(head, resource) === 'all';
    if (whole && reads.fixed && (literal || !reads.resource)) decided.push(position);
  }
  return { decided, online: decided.length < candidates.length };
}

/** Ids of the guardrails that forbid a cell. Cells that the same facts decide are asked once. */
function decide(
  engine: Engine,
  set: GuardrailSet,
  facts: Circumstances,
  { action, resource }: Cell,
  positions: readonly number[],
  nowMs: number,
  known: Map<string, readonly string[]>,
): readonly string[] {
  if (positions.length === 0) return [];
  const readsResource = positions.some((position) => set.guardrails[position]?.reads.resource);
  const key = JSON.stringify([action, positions, readsResource ? resource : '']);
  const before = known.get(key);
  if (before) return before;
  const answer = engine.ask(
    set,
    facts,
    {
      action,
      resource: inPattern(resource),
      args: {},
      dimensions: { agent: true, user: true, task: true },
      nowMs,
    },
    positions,
  );
  if (answer.failed.length > 0) {
    throw new PdpError('POLICY_ERROR', 'a guardrail could not be evaluated', {
      policies: answer.failed,
    });
  }
  known.set(key, answer.forbidding);
  return answer.forbidding;
}

/** Some name that a pattern admits; only guardrails that do not look at it are asked about it. */
function inPattern(resource: string): string {
  return resource
    .split('/')
    .map((segment) => (segment === '**' || segment === '*' ? 'x' : segment.replace('*', '')))
    .join('/');
}
