import type { AuthenticatedClient } from '../client-auth/methods.ts';
import type { IssuerDeps } from '../deps.ts';
import type { Trail } from './trail.ts';

/** One token exchange of a client that proved who it is. `proof` is the DPoP header. */
export type Session = {
  readonly deps: IssuerDeps;
  readonly tenant: string;
  readonly client: AuthenticatedClient;
  readonly proof: string | undefined;
  /** The nonce that the proof claims, where one is needed: a good one of this issuer. */
  readonly nonce: string | undefined;
  readonly trail: Trail;
};

/** Epoch seconds. */
export function nowSeconds({ clock }: Pick<IssuerDeps, 'clock'>): number {
  return Math.floor(clock.now() / 1000);
}
