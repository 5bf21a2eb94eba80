import { IssuerError } from '../error.ts';
import { JWT_BEARER_ASSERTION } from '../grant/names.ts';
import { type AgentJwtKind, claimedAgent, unregistered, verifyAgentJwt } from './agent-jwt.ts';
import type { ClientAuthForm } from './form.ts';
import type { ClientIdentity } from './methods.ts';

const ASSERTION: AgentJwtKind = {
  name: 'client_assertion',
  types: new Set(['client-authentication+jwt', 'jwt']),
  refused,
};

/** What an assertion that verified says. `thumbprint` names the registered key that signed it. */
export type VerifiedAssertion = {
  readonly clientId: string;
  readonly thumbprint: string;
  /** For the replay memory: no assertion with this digest may be taken again until `expSeconds`. */
  readonly jtiHash: string;
  readonly expSeconds: number;
};

/** The assertion of a request, and the client that it says it is from. Nothing is verified yet. */
export type PresentedAssertion = { readonly jwt: string; readonly clientId: string };

/**
 * Finds the assertion of a request (RFC 7521 section 4.2) and reads who it claims to be from.
 * `client_id`, where given, must be that client. Throws IssuerError `CLIENT_UNAUTHENTICATED`.
 */
export function presentedAssertion(form: ClientAuthForm, maxIdLength: number): PresentedAssertion {
  if (form.client_assertion_type !== JWT_BEARER_ASSERTION) {
    throw refused('client_assertion_type is not one that this endpoint takes.');
  }
  const jwt = form.client_assertion ?? '';
  const clientId = claimedAgent(jwt, ASSERTION, maxIdLength);
  if ((form.client_id ?? clientId) !== clientId) {
    throw refused('client_id is not the subject of client_assertion.');
  }
  return { jwt, clientId };
}

/**
 * Verifies a client assertion (RFC 7523 section 3): what {@link verifyAgentJwt} checks, under the
 * types `client-authentication+jwt` and `JWT`.
 * Does not check that the agent is active or that the assertion is new: the caller does both.
 * Throws IssuerError `CLIENT_UNAUTHENTICATED`.
 */
export async function verifyAssertion(
  presented: PresentedAssertion,
  options: { signer: ClientIdentity; issuer: string; nowSeconds: number },
): Promise<VerifiedAssertion> {
  const { thumbprint, jtiHash, expSeconds } = await verifyAgentJwt(
    presented.jwt,
    ASSERTION,
    options,
  );
  return { clientId: options.signer.id, thumbprint, jtiHash, expSeconds };
}

/** The refusal of an assertion from a client that the registry does not know. */
export function refuseUnregistered({ jwt }: PresentedAssertion): Promise<IssuerError> {
  return unregistered(jwt, ASSERTION);
}

function refused(message: string, cause?: unknown): IssuerError {
  return new IssuerError('CLIENT_UNAUTHENTICATED', message, {
    reason: 'client_unauthenticated',
    cause,
  });
}
