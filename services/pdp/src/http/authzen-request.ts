import { ContractError, conform, permissionsJson } from '@remit/contracts';
import { wireError } from '@remit/service-kit';
import { type Static, type TProperties, Type } from 'typebox';

/** AuthZEN ignores members that it does not know (section 4), so these are not closed. */
const open = <P extends TProperties>(properties: P) => Type.Object(properties);
const id = Type.String({ minLength: 1, maxLength: 128 });
const name = Type.String({ minLength: 1, maxLength: 512 });
const properties = Type.Optional(Type.Record(Type.String(), Type.Unknown()));

/**
 * An Access Evaluation request (AuthZEN 1.0 section 6). What Remit needs beyond it travels in
 * `context`: the agents, the task and the arguments.
 */
const evaluationRequest = open({
  subject: open({ type: name, id, properties }),
  action: open({ name, properties }),
  resource: open({ type: name, id: name, properties }),
  context: Type.Optional(
    open({
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
      /** `true`: the answer carries reasons in its context. */
      explain: Type.Optional(Type.Boolean()),
    }),
  ),
});
export type EvaluationRequest = Static<typeof evaluationRequest>;

/**
 * Reads an Access Evaluation request. Throws WireError `INVALID_REQUEST` (400) for what is missing or
 * of another type, with the path and never the value.
 */
export function readEvaluation(body: unknown): EvaluationRequest {
  try {
    return conform(evaluationRequest, body);
  } catch (cause) {
    if (!(cause instanceof ContractError)) throw cause;
    throw wireError('INVALID_REQUEST', {
      detail: `The request is not one: ${cause.message}.`,
      cause,
    });
  }
}
