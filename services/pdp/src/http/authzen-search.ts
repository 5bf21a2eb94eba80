import { canonicalText, sha256, type ToolBody } from '@remit/contracts';
import { type Directory, wireError } from '@remit/service-kit';
import type { Decider } from '../decide/decider.ts';
import type { Caller } from './authzen-callers.ts';
import { asEvaluation, createCeilings, forAsker, withClient } from './authzen-evaluate.ts';
import type { EvaluationRequest, SearchKind, SearchRequest } from './authzen-request.ts';

type Found = { type: string; id: string } | { name: string };
export type SearchAnswer = { page?: { next_token: string; count: number }; results: Found[] };

/** Results of one page unless the asker wants fewer. */
const PAGE = 50;
/** Things that one request looks at; what comes after them is on the next page. */
const MAX_LOOKED_AT = 500;
const USERS_AT_ONCE = 100;

/** A thing that may be found, with the key by which the next page begins after it. */
type Candidate = { key: string; found: Found; ask: EvaluationRequest };

/**
 * Searches (AuthZEN 1.0 section 8): users who may, resources that one may, actions that one may. Every
 * result is a decision as `evaluate` makes it. Found are users of the registry, resources that the
 * tool's registry entry writes down, and the tool's actions; a type that nobody knows gives nothing.
 * A page's token holds for the same request alone. Throws WireError `INVALID_REQUEST`.
 */
export async function search(
  deps: { decider: Decider; directory: Directory },
  caller: Caller,
  kind: SearchKind,
  request: SearchRequest,
): Promise<SearchAnswer> {
  const { page, ...asked } = request;
  const limit = Math.min(page?.limit ?? PAGE, PAGE);
  const digest = sha256(canonicalText([caller.tenant, caller.id, kind, asked]));
  const after = page?.token ? readToken(page.token, digest) : undefined;
  const decide = deps.decider.batch({ hypothetical: true });
  const ceilings = createCeilings(deps.directory);

  const results: Found[] = [];
  let next: string | undefined;
  let last = after;
  let looked = 0;
  for await (const candidate of candidates(deps.directory, caller, kind, request, after)) {
    if (results.length === limit || looked === MAX_LOOKED_AT) {
      next = last;
      break;
    }
    looked += 1;
    const answer = await decide(await asEvaluation(ceilings, caller, candidate.ask));
    const { supported_obligations: supported } = candidate.ask.context ?? {};
    if (forAsker(answer, supported).decision === 'allow') results.push(candidate.found);
    last = candidate.key;
  }
  if (next === undefined && page === undefined) return { results };
  const token = next === undefined ? '' : makeToken(next, digest);
  return { page: { next_token: token, count: results.length }, results };
}

async function* candidates(
  directory: Directory,
  caller: Caller,
  kind: SearchKind,
  request: SearchRequest,
  after: string | undefined,
): AsyncGenerator<Candidate> {
  const { subject, action, resource, context } = request;
  const whole = { subject, action, resource, ...(context ? { context } : {}) };
  if (kind === 'subject') {
    if (subject.type !== 'user') return;
    for await (const id of usersOf(directory, caller.tenant, after)) {
      const found = { type: 'user', id };
      yield { key: id, found, ask: { ...whole, subject: { ...subject, id } } as EvaluationRequest };
    }
    return;
  }
  const tool = await toolOf(directory, caller, context?.audience);
  if (!tool) return;
  const names = kind === 'action' ? tool.actions : literals(tool, resource.type);
  for (const name of [...new Set(names)].toSorted()) {
    if (after !== undefined && name <= after) continue;
    if (kind === 'action') {
      yield {
        key: name,
        found: { name },
        ask: { ...whole, action: { name } } as EvaluationRequest,
      };
      continue;
    }
    const id = name.slice(resource.type.length + 1);
    const found = { type: resource.type, id };
    yield {
      key: name,
      found,
      ask: { ...whole, resource: { ...resource, id } } as EvaluationRequest,
    };
  }
}

async function* usersOf(
  directory: Directory,
  tenant: string,
  after: string | undefined,
): AsyncGenerator<string> {
  let last = after;
  for (;;) {
    const { users = [] } = await directory.lookup(tenant, {
      actors: [],
      users: { limit: USERS_AT_ONCE, ...(last === undefined ? {} : { after: last }) },
    });
    for (const { id, status } of users) {
      last = id;
      if (status === 'active') yield id;
    }
    if (users.length < USERS_AT_ONCE) return;
  }
}

async function toolOf(
  directory: Directory,
  caller: Caller,
  given: string | undefined,
): Promise<ToolBody | undefined> {
  const { audience } = withClient(caller, given === undefined ? {} : { audience: given });
  if (audience === undefined) return undefined;
  const { tool } = await directory.lookup(caller.tenant, { actors: [], audience });
  return tool && directory.body(caller.tenant, tool.body, 'tool');
}

/** Resources of a type that are written down one by one. */
function literals(tool: ToolBody, type: string): string[] {
  return (tool.resources ?? [])
    .map(({ resource }) => resource)
    .filter((name) => name.startsWith(`${type}/`) && !name.includes('*'));
}

function makeToken(after: string, digest: string): string {
  return Buffer.from(JSON.stringify([after, digest])).toString('base64url');
}

/** A token of another request, or none at all, is refused (section 8.1). */
function readToken(token: string, digest: string): string {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
    if (Array.isArray(value) && value.length === 2 && value[1] === digest) {
      const [after] = value as [unknown, string];
      if (typeof after === 'string') return after;
    }
  } catch {
    // said below
  }
  throw wireError('INVALID_REQUEST', { detail: 'The page token is not one of this request.' });
}
