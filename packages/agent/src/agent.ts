import { type Capability, createCapability } from './capability.ts';
import { AgentError } from './error.ts';
import { endpoint, type Fetch, type Transport } from './http.ts';
import { clientKey, type PrivateJwk, proofKey } from './keys.ts';
import { discover, type IssuerMetadata } from './metadata.ts';
import { postForm, readGrant, type TaskRequest, taskForm } from './token-request.ts';

export type AgentOptions = {
  /** The tenant's issuer URL, exactly as the issuer spells it. */
  readonly issuer: string;
  /** The agent's id in the registry, which is its OAuth client id. */
  readonly clientId: string;
  /** The registered private key (JWK, Ed25519 or P-256). It signs client assertions, nothing else. */
  readonly key: PrivateJwk;
  /**
   * `dpop` (default) binds tokens to a key of this process. `bearer` asks for tokens that whoever
   * holds them can use; the issuer gives them only to agents that the registry allows it.
   */
  readonly binding?: 'bearer' | 'dpop';
  /** The private key that tokens are bound to. Default: a P-256 key made for this agent object. */
  readonly proofKey?: PrivateJwk;
  /** Default: the global fetch. */
  readonly fetch?: Fetch;
  /** The time as epoch milliseconds. Default: Date.now. */
  readonly clock?: () => number;
  /** For one request to the issuer, milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /** Take http to other machines too, as inside a private container network. Default false. */
  readonly allowInsecureHttp?: boolean;
};

export type Agent = {
  /**
   * Starts a task for a user and returns the token for one tool (RFC 8693; the issuer decides).
   * Throws AgentError `REFUSED` with the issuer's refusal, `ISSUER_MISMATCH`, `METADATA_INVALID`,
   * `RESPONSE_INVALID` or `UNREACHABLE`; nothing is retried but one nonce challenge.
   */
  startTask(request: TaskRequest): Promise<Capability>;
};

/**
 * An agent of the registry. Metadata of the issuer is read at the first use and kept.
 * Throws AgentError `OPTION_INVALID` at once for options that cannot work together.
 */
export function createAgent(options: AgentOptions): Agent {
  const clock = options.clock ?? Date.now;
  const binding = options.binding ?? 'dpop';
  const transport: Transport = {
    fetch: options.fetch ?? fetch,
    timeoutMs: options.timeoutMs ?? 10_000,
    allowInsecureHttp: options.allowInsecureHttp ?? false,
  };
  if (binding === 'bearer' && options.proofKey !== undefined) {
    throw new AgentError('OPTION_INVALID', 'a bearer token is bound to no key');
  }
  endpoint(options.issuer, transport, 'OPTION_INVALID');
  const client = clientKey(options.key);
  const prover = binding === 'dpop' ? proofKey(options.proofKey, clock) : undefined;
  let known: IssuerMetadata | undefined;

  return {
    async startTask(request) {
      endpoint(request.resource, transport, 'OPTION_INVALID');
      known ??= await discover(options.issuer, transport);
      const { issuer, tokenEndpoint } = known;
      const attempt = (nonce?: string) => {
        const assertion = client.assertion({
          clientId: options.clientId,
          issuer,
          nowSeconds: Math.floor(clock() / 1000),
        });
        const form = taskForm(request, { id: options.clientId, assertion });
        const proof = prover?.prove({
          method: 'POST',
          url: tokenEndpoint,
          ...(nonce === undefined ? {} : { nonce }),
        });
        return postForm(transport, tokenEndpoint, form, proof);
      };
      let answer = await attempt();
      if ('nonce' in answer) answer = await attempt(answer.nonce);
      if ('nonce' in answer) {
        throw new AgentError('RESPONSE_INVALID', 'the issuer asks for a nonce again and again');
      }
      const grant = readGrant(answer.body, prover ? 'DPoP' : 'Bearer');
      return createCapability(grant, {
        audience: request.resource,
        expiresAt: new Date(clock() + grant.expiresInSeconds * 1000),
        key: prover,
        fetch: transport.fetch,
      });
    },
  };
}
