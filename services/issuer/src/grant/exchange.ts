import { type Capability, MAX_TOKEN_LENGTH, type Signer } from '@remit/capability';
import type { CheckResponse, PermissionJson, RegisterRequest, Rev } from '@remit/contracts';
import {
  type AuthenticatedClient,
  authenticateClient,
  checkActive,
  checkKeyRegistered,
} from '../client-auth/methods.ts';
import type { IssuerDeps } from '../deps.ts';
import { IssuerError } from '../error.ts';
import { issuerUrl } from '../metadata.ts';
import { type AllowedDecision, requireAllowed } from './decision.ts';
import { type ExchangeRequest, type LaunchRequest, readExchange } from './exchange-request.ts';
import { lookUpClient, lookUpLaunch } from './facts.ts';
import type { TokenForm } from './form.ts';
import { checkIdp, checkLauncher, verifyIdToken } from './id-token.ts';
import { checkBinding, verifyTokenProof } from './proof.ts';
import { firstToken, signToken, type TokenFacts, taskUntil } from './token.ts';

/** A token request as it arrived. `proof` is the DPoP header, `authorization` the header of that name. */
export type TokenRequest = {
  readonly tenant: string;
  readonly form: TokenForm;
  readonly proof: string | undefined;
  readonly authorization: string | undefined;
};

/**
 * What a request has shown about itself so far, for its record. Only verified facts are in it: while
 * `client` is missing, nobody has said anything that was proved.
 */
export type Trail = {
  client?: string;
  user?: string;
  jkt?: string;
  audience?: string;
  taskType?: string;
  taskId?: string;
  requested?: readonly PermissionJson[];
  rev?: Rev;
};

/** A token that was signed and not handed out yet. */
export type SignedToken = {
  readonly token: string;
  readonly capability: Capability;
  readonly decision: AllowedDecision;
  readonly signer: Pick<Signer, 'alg' | 'kid'>;
  readonly jkt: string | undefined;
  readonly taskUntilSeconds: number;
};

/** Room for a proof beside a token; all together stay under 12 KB (02). */
const PROOF_ROOM = 1_024;

/**
 * Answers a token exchange (RFC 8693 section 2), in the order that nothing may change (05, The
 * issuer's part): authenticate the client, check the request, read the head of the revocations, look
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
  const { tenant, form } = request;
  const client = await authenticate(deps, request);
  trail.client = client.agent.id;
  checkActive(client);

  const exchange = readExchange(form);
  note(trail, exchange);
  const jkt = await proveKey(deps, request);
  if (jkt !== undefined) trail.jkt = jkt;
  const idToken = await verifyIdToken(exchange.idToken, {
    tenant: client.tenant,
    keys: deps.idpKeys,
    nowSeconds: nowSeconds(deps),
  });

  const signer = deps.tokenKeys.signer(tenant, client.agent.signing_alg);
  const rev = await readHead(deps, tenant, { client, jkt, signer });
  trail.rev = rev;

  const facts = await lookUpLaunch(deps.services.directory, tenant, {
    clientId: client.agent.id,
    user: idToken,
    taskType: exchange.task.taskType,
    resource: exchange.resource,
  });
  trail.user = facts.user;
  checkActive(facts.client);
  await checkKeyRegistered(client, facts.client);
  checkIdp(idToken.iss, facts.client.tenant);
  checkLauncher(idToken, facts.client.agent);
  checkBinding(jkt, facts.client.agent);

  const task = { id: `task_${deps.randomId()}`, type: exchange.task.taskType };
  trail.taskId = task.id;
  const decision = await decide(deps, tenant, { exchange, user: facts.user, client, task });
  const made: TokenFacts = {
    issuer: issuerUrl(deps.publicUrl, tenant),
    tenant,
    audience: exchange.resource,
    user: facts.user,
    agent: client.agent.id,
    task,
    jkt,
    rev,
    decision,
    nowSeconds: nowSeconds(deps),
    randomId: deps.randomId,
  };
  return registerAndSign(deps, made, signer);
}

function authenticate(deps: IssuerDeps, { tenant, form, authorization }: TokenRequest) {
  return authenticateClient(
    { form, authorization },
    {
      issuer: issuerUrl(deps.publicUrl, tenant),
      nowSeconds: nowSeconds(deps),
      lookupClient: (clientId) => lookUpClient(deps.services.directory, tenant, clientId),
      rememberAssertion: (assertion) => deps.replay.rememberAssertion(tenant, assertion),
    },
  );
}

function note(trail: Trail, { resource, task }: ExchangeRequest): void {
  trail.audience = resource;
  trail.taskType = task.taskType;
  if (task.requested) trail.requested = task.requested;
}

function proveKey(deps: IssuerDeps, { tenant, proof }: TokenRequest): Promise<string | undefined> {
  return verifyTokenProof(proof, {
    url: `${issuerUrl(deps.publicUrl, tenant)}/token`,
    nowSeconds: nowSeconds(deps),
    windowSeconds: deps.proofWindowSeconds,
    rememberProof: (used) => deps.replay.rememberProof(tenant, used),
  });
}

/**
 * Reads the head of the tenant's revocations, which becomes `rev` (05, Sequences): everything that is
 * read and decided afterwards is newer than it. Refuses when a key that is used here is revoked: the
 * client's own, the one to bind to, or the issuer's.
 */
async function readHead(
  deps: IssuerDeps,
  tenant: string,
  used: { client: AuthenticatedClient; jkt: string | undefined; signer: Signer },
): Promise<Rev> {
  const { client, jkt, signer } = used;
  const keys = [
    ...new Set([client.keyThumbprint, signer.kid, ...(jkt === undefined ? [] : [jkt])]),
  ];
  const { head, revoked } = await deps.services.check(tenant, keys);
  if (revoked) throw revokedKey(revoked, used);
  return head;
}

function revokedKey(
  { id }: NonNullable<CheckResponse['revoked']>,
  { client, signer }: { client: AuthenticatedClient; signer: Signer },
): IssuerError {
  const reason = 'key_revoked';
  if (id === signer.kid) {
    return new IssuerError('SIGNING_KEY_UNUSABLE', 'The signing key is revoked.', { reason });
  }
  if (id === client.keyThumbprint) {
    return new IssuerError('CLIENT_UNAUTHENTICATED', "The client's key is revoked.", { reason });
  }
  return new IssuerError('PROOF_INVALID', 'The key of the DPoP proof is revoked.', { reason });
}

function decide(
  deps: IssuerDeps,
  tenant: string,
  asked: {
    exchange: LaunchRequest;
    user: string;
    client: AuthenticatedClient;
    task: { id: string; type: string };
  },
): Promise<AllowedDecision> {
  const { exchange, user, client, task } = asked;
  const { slots, requested, narrow } = exchange.task;
  return requireAllowed((request) => deps.services.mint(tenant, request), {
    actors: [client.agent.id],
    user,
    client: client.agent.id,
    audience: exchange.resource,
    task: { ...task, slots },
    ...(requested === undefined ? {} : { requested }),
    narrow,
  });
}

/** Registered before it is signed: a token that exists can be revoked and has its status index. */
async function registerAndSign(
  deps: IssuerDeps,
  facts: TokenFacts,
  signer: Signer,
): Promise<SignedToken> {
  const { tenant, jkt, decision } = facts;
  const first = firstToken(facts);
  const status = await deps.services.register(
    tenant,
    registration(first, { jkt, kid: signer.kid }),
  );
  const capability: Capability = { ...first, status };
  await deps.tasks.insert(tenant, {
    id: facts.task.id,
    type: facts.task.type,
    user: facts.user,
    originAgent: facts.agent,
    jkt,
    ceiling: decision.ceiling,
    purpose: decision.task.purpose,
    untilSeconds: taskUntil(facts),
  });
  const token = signToken(capability, signer);
  if (token.length > MAX_TOKEN_LENGTH - PROOF_ROOM) {
    throw new IssuerError('DETAILS_REFUSED', 'The token would be too large.', {
      reason: 'scope_too_large',
      decision,
    });
  }
  return { token, capability, decision, signer, jkt, taskUntilSeconds: taskUntil(facts) };
}

/** What of a token a revocation could name: ids and thumbprints, never the token. */
function registration(
  token: Omit<Capability, 'status'>,
  { jkt, kid }: { jkt: string | undefined; kid: string },
): RegisterRequest {
  return {
    jti: token.id,
    lineage: [...token.lineage],
    rev: token.rev,
    task: token.task.id,
    actors: [...token.actors],
    user: token.subject,
    client: token.clientId,
    keys: jkt === undefined ? [kid] : [jkt, kid],
    exp: token.expiresAt,
  };
}

function nowSeconds(deps: IssuerDeps): number {
  return Math.floor(deps.clock.now() / 1000);
}
