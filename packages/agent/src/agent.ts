import type { JsonObject } from '@remit/contracts';
import { type Capability, createCapability } from './capability.ts';
import { AgentError } from './error.ts';
import type { Handover } from './handover.ts';
import { createHolder, type Holder } from './holder.ts';
import { endpoint, type Fetch, type Transport } from './http.ts';
import { clientKey, type PrivateJwk, proofKey } from './keys.ts';
import { discover, type IssuerMetadata } from './metadata.ts';
import {
  type DelegationRequest,
  delegationForm,
  type Grant,
  postForm,
  type RenewalRequest,
  readGrant,
  renewalForm,
  revocationForm,
  type TaskRequest,
  taskForm,
} from './token-request.ts';

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

export type Agent = Holder & {
  /**
   * Starts a task for a user and returns the token for one tool (RFC 8693; the issuer decides).
   * Throws AgentError `REFUSED` with the issuer's refusal, `ISSUER_MISMATCH`, `METADATA_INVALID`,
   * `RESPONSE_INVALID` or `UNREACHABLE`; nothing is retried but one nonce challenge.
   */
  startTask(request: TaskRequest): Promise<Capability>;
  /**
   * Another first token of the same task, for a tool or a time that this one does not cover, while
   * the task runs. A delegated token is not renewed: its giver delegates again. Throws as `startTask`.
   */
  renew(held: Capability, request?: RenewalRequest): Promise<Capability>;
  /**
   * Gives another agent part of a token. The child is bound to the other agent's key and is of no use
   * to anybody else; send it over a channel that you trust. Throws as `startTask`.
   */
  delegate(held: Capability, request: DelegationRequest): Promise<Handover>;
  /**
   * This agent's word that it will act on a token delegated to it, good for two minutes at the
   * issuer. Throws AgentError `OPTION_INVALID` for a bearer agent, which has no key to bind to.
   */
  actorToken(): Promise<string>;
  /**
   * Takes back a token that this agent holds, or what it or a later agent handed on of it, with all that
   * descends from it (RFC 7009). Of a chain: its last link. Throws AgentError `REFUSED`,
   * `METADATA_INVALID` (an issuer without the endpoint) or `UNREACHABLE`.
   */
  revoke(given: Pick<Handover, 'token'>): Promise<void>;
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
  /** The issuer's newest: the next request then needs no challenge (RFC 9449 section 8.2). */
  let newestNonce: string | undefined;

  async function metadata(): Promise<IssuerMetadata> {
    known ??= await discover(options.issuer, transport);
    return known;
  }

  /** One token request; `held` is the token that its proof has to name (RFC 9449 section 4.2). */
  async function exchange(
    form: (client: { id: string; assertion: string }) => string,
    held?: Capability,
  ): Promise<JsonObject> {
    const { issuer, tokenEndpoint } = await metadata();
    const attempt = (nonce?: string) => {
      const assertion = client.assertion({
        clientId: options.clientId,
        issuer,
        nowSeconds: nowSeconds(),
      });
      const proof = prover?.prove({
        method: 'POST',
        url: tokenEndpoint,
        ...(held === undefined ? {} : { accessToken: held.token }),
        ...(nonce === undefined ? {} : { nonce }),
      });
      return postForm(transport, tokenEndpoint, form({ id: options.clientId, assertion }), proof);
    };
    let answer = await attempt(newestNonce);
    newestNonce = answer.nonce ?? newestNonce;
    if (!('body' in answer)) {
      answer = await attempt(answer.nonce);
      newestNonce = answer.nonce ?? newestNonce;
    }
    if (!('body' in answer)) {
      throw new AgentError('RESPONSE_INVALID', 'the issuer asks for a nonce again and again');
    }
    return answer.body;
  }

  const nowSeconds = () => Math.floor(clock() / 1000);
  const expiryOf = (grant: Grant) => new Date(clock() + grant.expiresInSeconds * 1000);

  function own(body: JsonObject, audience: string): Capability {
    const grant = readGrant(body, prover ? 'DPoP' : 'Bearer');
    return createCapability(grant, {
      audience,
      expiresAt: expiryOf(grant),
      key: prover,
      fetch: transport.fetch,
    });
  }

  return {
    ...createHolder(prover, { transport, clock }),
    async startTask(request) {
      endpoint(request.resource, transport, 'OPTION_INVALID');
      return own(await exchange((by) => taskForm(request, by)), request.resource);
    },
    async renew(held, request = {}) {
      const audience = request.resource ?? held.audience;
      endpoint(audience, transport, 'OPTION_INVALID');
      return own(await exchange((by) => renewalForm(request, held, by), held), audience);
    },
    async delegate(held, request) {
      const body = await exchange((by) => delegationForm(request, held, by), held);
      const grant = readGrant(body, 'DPoP');
      return {
        token: grant.token,
        audience: held.audience,
        expiresAt: expiryOf(grant).toISOString(),
        permissions: grant.permissions,
        task: grant.task,
      };
    },
    async actorToken() {
      if (!prover) throw new AgentError('OPTION_INVALID', 'a bearer agent has no key to bind to');
      const { issuer } = await metadata();
      return client.actorToken({
        clientId: options.clientId,
        issuer,
        nowSeconds: nowSeconds(),
        jkt: prover.jkt,
      });
    },
    async revoke({ token }) {
      const { issuer, revocationEndpoint } = await metadata();
      if (revocationEndpoint === undefined) {
        throw new AgentError('METADATA_INVALID', 'the issuer names no revocation endpoint');
      }
      const { clientId } = options;
      const assertion = client.assertion({ clientId, issuer, nowSeconds: nowSeconds() });
      await postForm(
        transport,
        revocationEndpoint,
        revocationForm(token, { id: clientId, assertion }),
        undefined,
      );
    },
  };
}
