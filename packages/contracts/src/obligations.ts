import { type Static, Type } from 'typebox';
import { closed, oneOf, text } from './schema.ts';

/**
 * What a decision asks of an enforcement point beyond yes and no. The kinds are closed: whoever does
 * not know one cannot fulfil it, and denies. (AuthZEN's obligations profile is a draft; how these are
 * said in its words is one file of the pdp.)
 */
export const OBLIGATION_TYPES = ['approval', 'step_up', 'redact', 'limit', 'log'] as const;
export type ObligationType = (typeof OBLIGATION_TYPES)[number];

export const obligation = closed({
  /** The guardrail that asks for it. */
  id: text(128),
  type: oneOf(...OBLIGATION_TYPES),
  /** What the guardrail says of it: its other annotations, as text. */
  properties: Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 1_024 })),
});
export type Obligation = Static<typeof obligation>;

/** More of them than this refuse the request: none is ever left out. */
export const MAX_OBLIGATIONS = 16;
export const obligations = Type.Array(obligation, { maxItems: MAX_OBLIGATIONS });

/**
 * What an enforcement point attests of a call beside its token and operation. Guardrails read it; it
 * is believed as far as the enforcement point is.
 */
export const signals = closed({
  /** Address of the caller. */
  ip: Type.Optional(Type.String({ minLength: 2, maxLength: 45 })),
  /** From 0, none, to 100. */
  risk: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
  /** What was noticed, e.g. `prompt_injection`. */
  flags: Type.Optional(Type.Array(text(64), { maxItems: 32 })),
  /** How the person last signed in (RFC 9470) and how many seconds ago. */
  acr: Type.Optional(text(128)),
  auth_age_seconds: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  /** How much the call moves, in the tool's own unit: rows, bytes. Adds up per task. */
  volume: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 40 })),
});
export type Signals = Static<typeof signals>;
