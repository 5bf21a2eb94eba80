import {
  checkParsePolicySet,
  type DetailedError,
  type PolicyJson,
  policySetTextToParts,
  policyToJson,
  type SchemaJson,
  validate,
} from '@cedar-policy/cedar-wasm/nodejs';
import { PdpError } from '../errors.ts';
import { type Head, readHead } from './head.ts';
import { type Asks, readObligation } from './obligations.ts';
import { PLATFORM_POLICY } from './platform.ts';
import { type Reads, readsOf } from './reads.ts';
import { createIndex, type GuardrailIndex } from './slice.ts';

/** One `forbid` of a tenant, with what is known of it without evaluating it. */
export type Guardrail = {
  id: string;
  file: string;
  text: string;
  head: Head;
  reads: Reads;
  /** What it asks for in place of a plain no. */
  asks?: Asks;
};

export type GuardrailSet = {
  /** SHA-256 of the files that the set was made from. */
  version: string;
  guardrails: readonly Guardrail[];
  byId: ReadonlyMap<string, Guardrail>;
  index: GuardrailIndex;
  /** A guardrail reads what its task did before: then every call has to be counted. */
  readsSession: boolean;
};

/** Why a file of a set is not acceptable, and where: line and column count from 1. */
export type PolicyProblem = { file: string; line: number; column: number; message: string };

const MAX_POLICIES = 10_000;
const ID = /^[a-z0-9][a-z0-9._-]{0,127}$/;

/**
 * Reads and checks the Cedar files of a set. Checks syntax, that each policy is a static `forbid` with
 * an `@id` of its own, and, given a schema, types (strict mode). Does not run tests.
 * Throws PdpError `POLICY_INVALID` with all problems found, `{ problems: PolicyProblem[] }`.
 */
export function readGuardrails(
  version: string,
  files: Readonly<Record<string, string>>,
  schema?: SchemaJson<string>,
): GuardrailSet {
  const problems: PolicyProblem[] = [];
  const guardrails: Guardrail[] = [];
  for (const [file, text] of Object.entries(files).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    guardrails.push(...readFile(file, text, schema, problems));
  }
  const seen = new Map<string, string>();
  for (const { id, file } of guardrails) {
    const other = seen.get(id);
    if (other !== undefined)
      problems.push(problem(file, `the id ${id} is used twice, first in ${other}`));
    seen.set(id, file);
  }
  if (guardrails.length > MAX_POLICIES)
    problems.push(problem('', `a set holds at most ${MAX_POLICIES} policies`));
  if (problems.length > 0) {
    throw new PdpError('POLICY_INVALID', 'the policy set is not acceptable', {
      problems: problems.slice(0, 50),
    });
  }
  return {
    version,
    guardrails,
    byId: new Map(guardrails.map((one) => [one.id, one])),
    index: createIndex(guardrails),
    readsSession: guardrails.some(({ reads }) => reads.session),
  };
}

const problem = (file: string, message: string): PolicyProblem => ({
  file,
  line: 1,
  column: 1,
  message,
});

function readFile(
  file: string,
  text: string,
  schema: SchemaJson<string> | undefined,
  problems: PolicyProblem[],
): Guardrail[] {
  if (text.trim() === '' || !text.isWellFormed() || text.includes('\0')) {
    problems.push(problem(file, 'the file is empty or not text'));
    return [];
  }
  const parsed = checkParsePolicySet({ staticPolicies: text });
  const parts = policySetTextToParts(text);
  if (parts.type === 'success' && parts.policy_templates.length > 0) {
    problems.push(problem(file, 'templates are not taken, only policies'));
    return [];
  }
  if (parsed.type === 'failure' || parts.type === 'failure') {
    const errors = parsed.type === 'failure' ? parsed.errors : [];
    problems.push(...errors.map((error) => located(file, text, error)));
    return [];
  }
  if (parts.policies.length === 0) problems.push(problem(file, 'the file holds no policies'));
  if (schema) problems.push(...validationProblems(file, text, schema));
  return parts.policies.flatMap((part) => readPolicy(file, text, part, problems));
}

function validationProblems(
  file: string,
  text: string,
  schema: SchemaJson<string>,
): PolicyProblem[] {
  const answer = validate({ schema, policies: { staticPolicies: text } });
  // A warning is e.g. a policy that can never apply: somebody believes in a guardrail that is none.
  const errors =
    answer.type === 'failure'
      ? answer.errors
      : [...answer.validationErrors, ...answer.validationWarnings].map(({ error }) => error);
  return errors.map((error) => located(file, text, error));
}

function readPolicy(
  file: string,
  text: string,
  part: string,
  problems: PolicyProblem[],
): Guardrail[] {
  const refuse = (message: string): Guardrail[] => {
    problems.push({ file, ...position(text, Math.max(0, text.indexOf(part))), message });
    return [];
  };
  const answer = policyToJson(part);
  if (answer.type === 'failure') return refuse('the policy has no JSON form');
  const policy: PolicyJson = answer.json;
  // A permit of a tenant could stand in for a dimension that refuses.
  if (policy.effect !== 'forbid') return refuse('only forbid is taken: a guardrail takes away');
  const id = policy.annotations?.id;
  if (id === undefined || !ID.test(id) || id === PLATFORM_POLICY)
    return refuse('each policy needs an @id of small letters, digits, dots, - and _');
  const asks = readObligation(policy.annotations ?? {});
  if (typeof asks === 'string') return refuse(asks);
  return [
    {
      id,
      file,
      text: part,
      head: readHead(policy),
      reads: readsOf(policy),
      ...(asks ? { asks } : {}),
    },
  ];
}

function located(file: string, text: string, error: DetailedError): PolicyProblem {
  const start = error.sourceLocations?.[0]?.start;
  const where = start === undefined ? { line: 1, column: 1 } : bytePosition(text, start);
  return {
    file,
    ...where,
    message: error.help ? `${error.message} (${error.help})` : error.message,
  };
}

/** Cedar counts bytes of UTF-8. */
function bytePosition(text: string, bytes: number): { line: number; column: number } {
  return position(text, Buffer.from(text, 'utf8').subarray(0, bytes).toString('utf8').length);
}

function position(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1) as string).length + 1 };
}
