import { type Capability, createCapability } from './capability.ts';
import { AgentError } from './error.ts';
import { type HandOnRequest, handOn } from './hand-on.ts';
import type { Handover } from './handover.ts';
import { endpoint, type Transport } from './http.ts';
import { type PrivateJwk, type ProofKey, proofKey } from './keys.ts';

/** Whoever has a key that tokens can be bound to: an agent, or a worker of one. */
export type Holder = {
  /** The thumbprint of its key: what `handOn` needs to hand something to it. Undefined for bearer. */
  readonly jkt: string | undefined;
  /** Takes a token, or a chain, that was handed to this holder. Throws AgentError `OPTION_INVALID`. */
  receive(handover: Handover): Capability;
  /**
   * Hands on part of a token without asking anybody: signs a link behind it, for the holder of another
   * key. An agent that the token names by its key acts in its own name, within its own entry; any other
   * key is a worker of this one. What an enforcement point would refuse is refused here: throws
   * AgentError `HAND_ON_REFUSED` (with the rule in `details.code`) or `OPTION_INVALID`.
   * The receiver sees the whole token and the links before its own; `delegate` shows it neither.
   */
  handOn(held: Capability, request: HandOnRequest): Handover;
};

/** The part of an agent that needs no issuer. `key` is undefined for bearer. */
export function createHolder(
  key: ProofKey | undefined,
  by: { transport: Transport; clock: () => number },
): Holder {
  const { transport, clock } = by;
  return {
    jkt: key?.jkt,
    receive({ token, audience, expiresAt, permissions, task }) {
      endpoint(audience, transport, 'OPTION_INVALID');
      if (!key) throw new AgentError('OPTION_INVALID', 'a delegated token is bound to a key');
      const until = new Date(expiresAt);
      return createCapability(
        {
          token,
          tokenType: 'DPoP',
          expiresInSeconds: Math.floor((until.getTime() - clock()) / 1000),
          permissions,
          task,
        },
        { audience, expiresAt: until, key, fetch: transport.fetch },
      );
    },
    handOn(held, request) {
      if (!key) throw new AgentError('OPTION_INVALID', 'a bearer token cannot be handed on');
      return handOn(held, request, { key, nowSeconds: Math.floor(clock() / 1000) });
    },
  };
}

/** A worker that is no agent of the registry: it uses what an agent hands to its key. */
export type WorkerOptions = {
  /** Its private key (JWK, P-256 or Ed25519). Default: a P-256 key that never leaves this process. */
  readonly proofKey?: PrivateJwk;
  /** Default: the global fetch. */
  readonly fetch?: Transport['fetch'];
  /** The time as epoch milliseconds. Default: Date.now. */
  readonly clock?: () => number;
  /** Take http to other machines too, as inside a private container network. Default false. */
  readonly allowInsecureHttp?: boolean;
};

/**
 * A holder without registration: it can receive, call tools and hand on, and can neither start tasks nor
 * ask the issuer for anything. Throws AgentError `OPTION_INVALID` for a key that can't be used.
 */
export function createWorker(options: WorkerOptions = {}): Holder & { readonly jkt: string } {
  const clock = options.clock ?? Date.now;
  const key = proofKey(options.proofKey, clock);
  const transport: Transport = {
    fetch: options.fetch ?? fetch,
    timeoutMs: 10_000,
    allowInsecureHttp: options.allowInsecureHttp ?? false,
  };
  return { ...createHolder(key, { transport, clock }), jkt: key.jkt };
}
