import { type Static, type TSchema, Type } from 'typebox';
import { closed, count, oneOf, text } from './schema.ts';

/**
 * `typ` of every JWS that a service signs for the bus, one per meaning, so that a message of one
 * kind is never taken for another (RFC 8725 section 3.11). All are compact, `alg: Ed25519`.
 */
export const SIGNED = {
  beat: 'remit-beat+jws',
  checkpoint: 'remit-checkpoint+jws',
  envelope: 'remit-envelope+jws',
  feedKey: 'remit-feed-key+jws',
  mark: 'remit-mark+jws',
  policy: 'remit-policy+jws',
  registry: 'remit-registry+jws',
  reply: 'remit-reply+jws',
  revocation: 'remit-revocation+jws',
} as const;

export type SignedType = (typeof SIGNED)[keyof typeof SIGNED];

/** CloudEvents 1.0, structured JSON: what is inside every event, signed or not. */
export const cloudEvent = <T extends TSchema>(data: T) =>
  closed({
    specversion: Type.Literal('1.0'),
    id: text(64),
    source: text(),
    type: text(),
    subject: Type.Optional(text()),
    time: text(40),
    datacontenttype: Type.Literal('application/json'),
    dataschema: text(),
    data,
  });

export type CloudEvent<D> = {
  specversion: '1.0';
  id: string;
  source: string;
  type: string;
  subject?: string;
  time: string;
  datacontenttype: 'application/json';
  dataschema: string;
  data: D;
};

/** Fills in the constant members of a CloudEvent. `name` is e.g. `revocation.revoked`, major version 1. */
export function makeCloudEvent<D>(
  name: string,
  fields: { id: string; source: string; time: string; subject?: string },
  data: D,
): CloudEvent<D> {
  return {
    specversion: '1.0',
    id: fields.id,
    source: fields.source,
    type: `dev.remit.${name}.v1`,
    ...(fields.subject === undefined ? {} : { subject: fields.subject }),
    time: fields.time,
    datacontenttype: 'application/json',
    dataschema: `urn:remit:schema:${name}:1`,
    data,
  };
}

/** The header in which a caller names one call: 128 random bits in hex. */
export const CALL_HEADER = 'Remit-Call';

/**
 * The payload of a signed reply: the answer bound to the SHA-256 of the request it answers, and to the
 * one call that asked, so that no answer to the same question of before stands in its place.
 */
export const signedReply = closed({
  req: text(64),
  call: Type.Optional(text(64)),
  method: text(64),
  tenant: text(31),
  body: Type.Optional(Type.Unknown()),
  error: Type.Optional(closed({ code: text(64), message: text() })),
});
export type SignedReply = Static<typeof signedReply>;

/** A beat of the registry or the pdp: its feed's head, so that what is missing is noticed. */
export const sourceBeat = closed({
  source: oneOf('registry', 'pdp'),
  boot: text(64),
  n: count,
  time: count,
  /** Sequence of the newest committed outbox entry. */
  head: count,
});
export type SourceBeat = Static<typeof sourceBeat>;
