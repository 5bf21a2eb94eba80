import { type Static, Type } from 'typebox';
import { publicJwk } from './registry.ts';
import { closed, text } from './schema.ts';

const keys = Type.Array(publicJwk, { minItems: 1, maxItems: 8 });

/**
 * The trust file: the one thing that a PEP or a verifier is given by hand. Per tenant the issuer and
 * where its token keys are; for the deployment the pinned root keys of each signing service.
 */
export const trustFile = closed({
  v: Type.Literal(1),
  tenants: Type.Record(
    Type.String({ maxLength: 31 }),
    closed({ issuer: text(2_048), jwks_uri: text(2_048) }),
  ),
  keys: closed({
    /** Events, beats and answers of the revocation service. */
    revocation: keys,
    /** Events, beats and look-ups of the registry. */
    registry: keys,
    /** Envelopes, signed by the registry. */
    envelope: keys,
    /** Policy events, beats and answers of the pdp. */
    pdp: keys,
    /** Commit marks of the audit service. */
    audit_mark: keys,
    /** Checkpoints of the ledger: Ed25519 signs, ML-DSA-44 cosigns. */
    checkpoint: keys,
  }),
  /** The log's name in a checkpoint's first line is this and `/` and the tenant. */
  checkpoint_origin: text(256),
});
export type TrustFile = Static<typeof trustFile>;
/** Whose keys sign messages of the bus; checkpoints are notes, with keys of more than one kind. */
export type TrustedKeys = Exclude<keyof TrustFile['keys'], 'checkpoint'>;
