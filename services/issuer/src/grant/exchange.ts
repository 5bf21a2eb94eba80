import { checkActive } from '../client-auth/methods.ts';
import type { IssuerDeps } from '../deps.ts';
import { authenticateAgent } from './authenticate.ts';
import { delegate } from './delegate.ts';
import { readExchange } from './exchange-request.ts';
import type { TokenForm } from './form.ts';
import type { SignedToken } from './issue.ts';
import { launch } from './launch.ts';
import { requireNonce } from './proof.ts';
import { renew } from './renew.ts';
import type { Session } from './session.ts';
import type { Trail } from './trail.ts';

/** A token request as it arrived. `proof` is the DPoP header, `authorization` the header of that name. */
export type TokenRequest = {
  readonly tenant: string;
  readonly form: TokenForm;
  readonly proof: string | undefined;
  readonly authorization: string | undefined;
};

/**
 * Answers a token exchange (RFC 8693 section 2), in the order that nothing may change (05, The
 * issuer's part): ask for a nonce, authenticate the client, check the request, read the head of the revocations, look
 * the facts up, ask for the decision, register, sign. What it returns is not recorded yet and must
 * not leave before it is.
 * Writes what it learns to `trail` as soon as it is verified.
 * Throws IssuerError; a token then does not exist, though a task, an index or a use may be spent.
 */
export async function exchangeToken(
  deps: IssuerDeps,
  request: TokenRequest,
  trail: Trail,
): Promise<SignedToken> {
  const { tenant, form, proof } = request;
  const nonce = await requireNonce(deps, request);
  const client = await authenticateAgent(deps, request);
  trail.client = client.agent.id;
  checkActive(client);
  const session: Session = { deps, tenant, client, proof, nonce, trail };
  const asked = readExchange(form);
  switch (asked.kind) {
    case 'launch':
      return launch(session, asked);
    case 'renewal':
      return renew(session, asked);
    case 'delegation':
      return delegate(session, asked);
  }
}
