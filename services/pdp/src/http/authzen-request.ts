import { ContractError, conform, permissionsJson, signals } from '@remit/contracts';
import { wireError } from '@remit/service-kit';
import { type Static, type TProperties, type TSchema, Type } from 'typebox';

/** AuthZEN ignores members that it does not know (section 4), so these are not closed. */
const open = <P extends TProperties>(properties: P) => Type.Object(properties);
const id = Type.String({ minLength: 1, maxLength: 128 });
const name = Type.String({ minLength: 1, maxLength: 512 });
const properties = Type.Optional(Type.Record(Type.String(), Type.Unknown()));

const subject = open({ type: name, id, properties });
const action = open({ name, properties });
const resource = open({ type: name, id: name, properties });

/** What Remit needs beyond AuthZEN's words; everything else in a context is ignored. */
const context = open({
  /** Agents of the chain, origin first, current actor last. */
  actors: Type.Optional(Type.Array(id, { minItems: 1, maxItems: 9 })),
  /** OAuth client; the current actor unless given. */
  client: Type.Optional(id),
  /** The tool that would run the operation. */
  audience: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
  task: Type.Optional(
    open({
      id: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
      type: id,
      slots: Type.Optional(
        Type.Record(
          Type.String({ maxLength: 32 }),
          Type.Union([Type.String({ minLength: 1, maxLength: 256 }), Type.Number()]),
        ),
      ),
    }),
  ),
  /** The scope of a token, where there is one; else the task type's instance is the ceiling. */
  scope: Type.Optional(permissionsJson),
  args: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  /** What the asker attests of the call. */
  signals: Type.Optional(signals),
  /** `true`: the answer carries reasons in its context. */
  explain: Type.Optional(Type.Boolean()),
  /** Obligations that the asker fulfils, by their names of the draft profile. */
  supported_obligations: Type.Optional(Type.Array(name, { maxItems: 64 })),
});
export type EvaluationContext = Static<typeof context>;

/** An Access Evaluation request (AuthZEN 1.0 section 6). */
const evaluationRequest = open({ subject, action, resource, context: Type.Optional(context) });
export type EvaluationRequest = Static<typeof evaluationRequest>;

const page = Type.Optional(
  open({
    token: Type.Optional(Type.String({ maxLength: 2_048 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
  }),
);
const shared = { context: Type.Optional(context), page };
/** What is searched for has no id; one that is given is ignored (section 8). */
const target = open({ type: name, properties });
const searches = {
  subject: open({ ...shared, subject: target, action, resource }),
  resource: open({ ...shared, subject, action, resource: target }),
  action: open({ ...shared, subject, resource }),
};
export type SearchKind = keyof typeof searches;
/** Parts that a kind searches for are as the asker gave them, without an id. */
export type SearchRequest = Partial<Pick<EvaluationRequest, 'action'>> & {
  subject: { type: string; id?: string; properties?: Record<string, unknown> };
  resource: { type: string; id?: string; properties?: Record<string, unknown> };
  context?: EvaluationContext;
  page?: { token?: string; limit?: number };
};

/**
 * Reads an Access Evaluation request. Throws WireError `INVALID_REQUEST` (400) for what is missing or
 * of another type, with the path and never the value.
 */
export function readEvaluation(body: unknown): EvaluationRequest {
  return read(evaluationRequest, body);
}

/** Reads a search (section 8). Throws WireError `INVALID_REQUEST`. */
export function readSearch(kind: SearchKind, body: unknown): SearchRequest {
  return read(searches[kind], body) as SearchRequest;
}

export const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
export type Semantic = (typeof SEMANTICS)[number];

/** Of one batch, each with a decision and a record of its own. */
const MAX_EVALUATIONS = 256;

const evaluationsRequest = open({
  evaluations: Type.Optional(Type.Array(Type.Unknown(), { maxItems: MAX_EVALUATIONS })),
  options: Type.Optional(
    open({
      evaluations_semantic: Type.Optional(
        Type.Unsafe<Semantic>({ type: 'string', enum: [...SEMANTICS] }),
      ),
    }),
  ),
});

/** One evaluation of a batch: read, or the sentence of why it is none. */
export type Item = { request: EvaluationRequest } | { error: string };

/**
 * Reads an Access Evaluations request (section 7): its items with the defaults merged in, or nothing
 * where there are none and the body is one evaluation. Defaults may be incomplete. Throws WireError
 * `INVALID_REQUEST` for the batch as a whole; an item that is no evaluation is one of its items.
 */
export function readEvaluations(body: unknown): { items: Item[]; semantic: Semantic } | undefined {
  const { evaluations, options } = read(evaluationsRequest, body);
  if (!evaluations || evaluations.length === 0) return undefined;
  const defaults = body as Readonly<Record<string, unknown>>;
  return {
    semantic: options?.evaluations_semantic ?? 'execute_all',
    items: evaluations.map((item) => readItem(item, defaults)),
  };
}

function readItem(item: unknown, defaults: Readonly<Record<string, unknown>>): Item {
  if (!isObject(item)) return { error: 'The evaluation is not an object.' };
  try {
    return { request: read(evaluationRequest, merged(item, defaults)) };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/**
 * A member of the item stands in the place of the whole default. Only what names a thing (`type`, `id`)
 * and is missing comes from the default of the same member: properties are never mixed.
 */
function merged(
  item: Readonly<Record<string, unknown>>,
  defaults: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const member of ['subject', 'action', 'resource', 'context']) {
    const own = Object.hasOwn(item, member) ? item[member] : undefined;
    const standing = Object.hasOwn(defaults, member) ? defaults[member] : undefined;
    const value = own === undefined ? standing : withNames(member, own, standing);
    if (value !== undefined) out[member] = value;
  }
  return out;
}

function withNames(member: string, own: unknown, standing: unknown): unknown {
  if (!isObject(own) || !isObject(standing) || member === 'context' || member === 'action')
    return own;
  const names: Record<string, unknown> = {};
  for (const key of ['type', 'id']) {
    if (!Object.hasOwn(own, key) && Object.hasOwn(standing, key)) names[key] = standing[key];
  }
  return { ...names, ...own };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function read<S extends TSchema>(schema: S, body: unknown): Static<S> {
  try {
    return conform(schema, body);
  } catch (cause) {
    if (!(cause instanceof ContractError)) throw cause;
    throw wireError('INVALID_REQUEST', {
      detail: `The request is not one: ${cause.message}.`,
      cause,
    });
  }
}
