import {
  type PolicySet,
  preparsePolicySet,
  preparseSchema,
  type SchemaJson,
  statefulIsAuthorized,
} from '@cedar-policy/cedar-wasm/nodejs';
import { canonicalText, sha256, type ToolBody } from '@remit/contracts';
import type { GuardrailSet } from './guardrails.ts';
import { PLATFORM_POLICY, PLATFORM_TEXT } from './platform.ts';
import { buildRequest, type Circumstances, type Question } from './request.ts';
import { cedarSchema } from './schema.ts';
import { createSlotPool } from './slots.ts';

/** Cedar's answer. With any error in it the decision is `deny`, whatever Cedar said. */
export type EngineAnswer = {
  decision: 'allow' | 'deny';
  /** Ids of the guardrails that forbid; empty where only the platform's own policy spoke. */
  forbidding: readonly string[];
  /** Ids of policies that could not be evaluated. */
  failed: readonly string[];
};

export type Engine = {
  /**
   * Asks Cedar about one operation, under the platform's policy and the guardrails at `positions` of
   * the set: all whose head can apply unless given. Throws PdpError `POLICY_ERROR` when a fact cannot
   * be carried or Cedar does not answer; never answers `allow` then.
   */
  ask(
    set: GuardrailSet,
    facts: Circumstances,
    question: Question,
    positions?: readonly number[],
  ): EngineAnswer;
  stats(): { evaluations: number; prepared: number; hits: number };
};

const POLICY_SLOTS = 256;
const SCHEMA_SLOTS = 64;

/**
 * Cedar with what it keeps parsed. Its state belongs to the thread, and slots are named by the pool:
 * one engine per process.
 */
export function createEngine(
  options: { prefix?: string; policySlots?: number; schemaSlots?: number } = {},
): Engine {
  const prefix = options.prefix ?? 'remit';
  const policies = createSlotPool<PolicySet>({
    prefix: `${prefix}-policies`,
    size: options.policySlots ?? POLICY_SLOTS,
    prepare: (slot, set) => outcome(preparsePolicySet(slot, set)),
  });
  const schemas = createSlotPool<SchemaJson<string>>({
    prefix: `${prefix}-schema`,
    size: options.schemaSlots ?? SCHEMA_SLOTS,
    prepare: (slot, schema) => outcome(preparseSchema(slot, schema)),
  });
  const toolKeys = new WeakMap<ToolBody, string>();
  let evaluations = 0;

  const schemaKey = (tool: ToolBody): string => {
    const known = toolKeys.get(tool);
    if (known !== undefined) return known;
    const key = sha256(canonicalText(tool));
    toolKeys.set(tool, key);
    return key;
  };

  return {
    ask(set, facts, question, positions) {
      const request = buildRequest(facts, question);
      const slice =
        positions ??
        set.index.candidates(
          { principal: request.principal.id, action: question.action },
          question.resource,
        );
      const schema = schemas.slot(schemaKey(facts.tool), () => cedarSchema([facts.tool]));
      const slot = policies.slot(`${set.version}:${slice.join(',')}`, () => sliceOf(set, slice));
      evaluations += 1;
      const answer = statefulIsAuthorized({
        ...request,
        preparsedSchemaName: schema,
        preparsedPolicySetId: slot,
        validateRequest: true,
      });
      if (answer.type === 'failure') {
        // The request does not fit the schema, e.g. an action that the tool does not have.
        return { decision: 'deny', forbidding: [], failed: ['remit:request'] };
      }
      const { decision, diagnostics } = answer.response;
      const failed = diagnostics.errors.map((error) => error.policyId);
      return {
        decision: decision === 'allow' && failed.length === 0 ? 'allow' : 'deny',
        forbidding: decision === 'deny' ? diagnostics.reason.toSorted() : [],
        failed: failed.toSorted(),
      };
    },
    stats: () => {
      const { prepared, hits } = policies.stats();
      return { evaluations, prepared, hits };
    },
  };
}

function outcome(answer: { type: 'success' } | { type: 'failure'; errors: { message: string }[] }) {
  return answer.type === 'success'
    ? { ok: true, message: '' }
    : { ok: false, message: answer.errors[0]?.message ?? 'failed' };
}

function sliceOf(set: GuardrailSet, positions: readonly number[]): PolicySet {
  const texts: Record<string, string> = { [PLATFORM_POLICY]: PLATFORM_TEXT };
  for (const position of positions) {
    const guardrail = set.guardrails[position];
    if (guardrail) texts[guardrail.id] = guardrail.text;
  }
  return { staticPolicies: texts };
}
