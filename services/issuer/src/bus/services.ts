import { type Bus, BusError, type Verifier } from '@remit/bus';
import {
  type CheckRequest,
  type CheckResponse,
  type MintRequest,
  type MintResponse,
  type Reason,
  type RegisterRequest,
  type Rev,
  type RevokeRequest,
  type RevokeResponse,
  type RpcMethod,
  type RpcRequest,
  type RpcResponse,
  type TrustedKeys,
} from '@remit/contracts';
import { type Directory, ServiceError } from '@remit/service-kit';
import { IssuerError } from '../error.ts';

/** The services that a token rests on, as the token endpoint asks them. */
export type Services = {
  readonly directory: Directory;
  /** Whether anything of this is revoked, and the head of the tenant's revocations before that. */
  check(tenant: string, used: CheckRequest): Promise<CheckResponse>;
  mint(tenant: string, request: MintRequest): Promise<MintResponse>;
  /** Registers a token that is about to be signed; the answer is its place in a status list. */
  register(tenant: string, token: RegisterRequest): Promise<{ idx: number; uri: string }>;
  revoke(tenant: string, request: RevokeRequest): Promise<RevokeResponse>;
  /** Whether anything that a token of this `rev` was decided from may have changed since. */
  recheckedSince(tenant: string, rev: Rev): Promise<boolean>;
};

/**
 * Asks registry, pdp and revocation over the bus, each believed by its pinned key alone. Waiting and
 * retrying is the bus's. A service that does not answer, or whose answer is not believed, is an
 * IssuerError `SERVICE_UNAVAILABLE`; a tenant that it does not know is `TENANT_UNKNOWN`.
 */
export function createServices(
  bus: Pick<Bus, 'call'>,
  verifiers: Readonly<Record<TrustedKeys, Verifier>>,
  directory: Directory,
): Services {
  const ask = <M extends RpcMethod>(
    method: M,
    tenant: string,
    body: RpcRequest<M>,
    by: { verifier: Verifier; reason: Reason },
  ): Promise<RpcResponse<M>> =>
    answered(by.reason, bus.call(method, tenant, body, { verifier: by.verifier }));
  const pdp = { verifier: verifiers.pdp, reason: 'pdp_unavailable' } as const;
  const revocation = { verifier: verifiers.revocation, reason: 'revocation_unavailable' } as const;
  return {
    directory: {
      lookup: (tenant, request) =>
        answered('registry_unavailable', directory.lookup(tenant, request)),
      body: (tenant, digest, kind) =>
        answered('registry_unavailable', directory.body(tenant, digest, kind)),
    },
    check: (tenant, used) => ask('revocation.check', tenant, used, revocation),
    mint: (tenant, request) => ask('pdp.mint', tenant, request, pdp),
    register: (tenant, token) => ask('revocation.register', tenant, token, revocation),
    revoke: (tenant, request) => ask('revocation.revoke', tenant, request, revocation),
    async recheckedSince(tenant, { epoch, seq }) {
      const after = { epoch, after: seq };
      const found = await ask('revocation.since', tenant, after, revocation);
      // What is on further pages is not read, and what is forgotten can't be: the safe answer is the same.
      const { entries, more, floor } = found;
      if (found.epoch !== epoch || more || floor !== undefined) return true;
      return entries.some(({ verb }) => verb === 'recheck');
    },
  };
}

async function answered<T>(reason: Reason, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof BusError) && !(cause instanceof ServiceError)) throw cause;
    if (cause.code === 'CALL_REFUSED' && cause.details.code === 'TENANT_UNKNOWN') {
      throw new IssuerError('TENANT_UNKNOWN', 'There is no such tenant.', {
        reason: 'tenant_unknown',
        cause,
      });
    }
    throw new IssuerError('SERVICE_UNAVAILABLE', 'A service that this needs does not answer.', {
      reason,
      cause,
    });
  }
}
