import type { JsonObject, JsonValue, PermissionJson } from '@remit/contracts';
import { AgentError, type Refusal } from './error.ts';
import { readJson, send, type Transport } from './http.ts';

/** RFC 9396 type of the object that names a task type and its slots. */
const TASK_DETAIL = 'urn:remit:task:1';
/** RFC 9396 type of a permission. */
const CAPABILITY_DETAIL = 'urn:remit:capability:1';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** What a task is started from. */
export type TaskRequest = {
  /** The user's ID token, at most 10 minutes old, issued to a launcher of this agent. */
  readonly idToken: string;
  readonly taskType: string;
  readonly slots?: Readonly<Record<string, string | number>>;
  /** The audience of the token: one tool, exactly as the registry spells it. */
  readonly resource: string;
  /** Asks for part of the task type's ceiling. Without it: all that the three dimensions allow. */
  readonly requested?: readonly PermissionJson[];
  /** Take what is allowed of `requested` instead of being refused. Default false. */
  readonly narrow?: boolean;
  /** Asks for less than the task type says; more is refused. */
  readonly limits?: TaskLimits;
};

/** What a task may be less than its type says. */
export type TaskLimits = {
  /** Seconds from the launch in which its first tokens can be renewed. */
  readonly untilSeconds?: number;
  /** The life of one token, seconds. */
  readonly tokenSeconds?: number;
  /** How often a token can be handed on. */
  readonly depthMax?: number;
  /** `true`: one call, whoever makes it. */
  readonly singleUse?: boolean;
  /** `false`: not handed on offline. */
  readonly links?: boolean;
  /** The agents that it can be handed to. */
  readonly mayAct?: readonly string[];
};

/** What of a token is handed to another agent. */
export type DelegationRequest = {
  /** The other agent's word that it will act, from its `actorToken()`. */
  readonly actorToken: string;
  /** What it is to have: less than the token itself, unless that is one action on one resource. */
  readonly requested: readonly PermissionJson[];
};

/** What a running task's next first token is to be. */
export type RenewalRequest = {
  /** Another tool of the same task. Default: the audience of the token. */
  readonly resource?: string;
  /** Asks for part of the task's ceiling. */
  readonly requested?: readonly PermissionJson[];
};

/** The running task, as the issuer made it. `until`: epoch seconds of the last renewal. */
export type Task = { readonly id: string; readonly type: string; readonly until: number };

/** What the issuer handed out. */
export type Grant = {
  readonly token: string;
  readonly tokenType: 'Bearer' | 'DPoP';
  readonly expiresInSeconds: number;
  readonly permissions: readonly PermissionJson[];
  readonly task: Task;
};

/** The form of a token exchange by which a holder delegates (RFC 8693 sections 1.1 and 2.1). */
export function delegationForm(
  request: DelegationRequest,
  held: { token: string; audience: string },
  client: { id: string; assertion: string },
): string {
  return new URLSearchParams({
    ...exchangeOf(held.token, ACCESS_TOKEN, client),
    actor_token: request.actorToken,
    actor_token_type: JWT,
    resource: held.audience,
    authorization_details: JSON.stringify(capabilityDetails(request.requested)),
  }).toString();
}

/** The form of a token exchange for another first token of the same task. */
export function renewalForm(
  request: RenewalRequest,
  held: { token: string; audience: string },
  client: { id: string; assertion: string },
): string {
  return new URLSearchParams({
    ...exchangeOf(held.token, ACCESS_TOKEN, client),
    resource: request.resource ?? held.audience,
    ...(request.requested
      ? { authorization_details: JSON.stringify(capabilityDetails(request.requested)) }
      : {}),
  }).toString();
}

function exchangeOf(
  subjectToken: string,
  subjectTokenType: string,
  client: { id: string; assertion: string },
): Record<string, string> {
  return {
    grant_type: TOKEN_EXCHANGE,
    client_id: client.id,
    client_assertion_type: JWT_BEARER,
    client_assertion: client.assertion,
    subject_token: subjectToken,
    subject_token_type: subjectTokenType,
    requested_token_type: ACCESS_TOKEN,
  };
}

/** The form of a revocation (RFC 7009 section 2.1). */
export function revocationForm(token: string, client: { id: string; assertion: string }): string {
  return new URLSearchParams({
    client_id: client.id,
    client_assertion_type: JWT_BEARER,
    client_assertion: client.assertion,
    token,
  }).toString();
}

function capabilityDetails(permissions: readonly PermissionJson[]): object[] {
  return permissions.map((permission) => ({ type: CAPABILITY_DETAIL, ...permission }));
}

/** The form of a token exchange that starts a task (RFC 8693 section 2.1, RFC 9396 section 6). */
export function taskForm(request: TaskRequest, client: { id: string; assertion: string }): string {
  const details = [
    {
      type: TASK_DETAIL,
      task_type: request.taskType,
      slots: request.slots ?? {},
      ...(request.narrow === undefined ? {} : { narrow: request.narrow }),
      ...(request.limits === undefined ? {} : { limits: limitsDetail(request.limits) }),
    },
    ...capabilityDetails(request.requested ?? []),
  ];
  return new URLSearchParams({
    ...exchangeOf(request.idToken, ID_TOKEN, client),
    resource: request.resource,
    authorization_details: JSON.stringify(details),
  }).toString();
}

/** Members that are undefined are left out by JSON. */
function limitsDetail(limits: TaskLimits): object {
  return {
    until_seconds: limits.untilSeconds,
    token_seconds: limits.tokenSeconds,
    depth_max: limits.depthMax,
    single_use: limits.singleUse,
    links: limits.links,
    may_act: limits.mayAct,
  };
}

/**
 * Posts a form to the token endpoint, once. `nonce` is the server nonce for the next proof: beside an
 * answer, or asked for instead of one (RFC 9449 section 8).
 * Throws AgentError `REFUSED`, `RESPONSE_INVALID` or `UNREACHABLE`.
 */
export async function postForm(
  transport: Transport,
  url: string,
  form: string,
  proof: string | undefined,
): Promise<{ body: JsonObject; nonce?: string } | { nonce: string }> {
  const response = await send(transport, url, {
    method: 'POST',
    headers: {
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      ...(proof === undefined ? {} : { dpop: proof }),
    },
    body: form,
  });
  if (response.status >= 500) {
    await response.body?.cancel();
    throw new AgentError('UNREACHABLE', 'the issuer cannot answer now', {
      details: { url, status: response.status },
    });
  }
  const body = await readJson(response);
  const nonce = response.headers.get('dpop-nonce');
  if (response.status === 200) return { body, ...(nonce === null ? {} : { nonce }) };
  const refusal = readRefusal(response.status, body);
  if (refusal.error === 'use_dpop_nonce' && nonce !== null) return { nonce };
  throw new AgentError('REFUSED', refusal.description ?? `the issuer refused: ${refusal.error}`, {
    refusal,
  });
}

/**
 * Reads a successful answer (RFC 8693 section 2.2.1). Members that it does not know are ignored
 * (RFC 6749 section 5.1). Checks that the token is of the kind that was asked for: a token without
 * the binding that the caller proved, or with one that it cannot prove, is not taken.
 * Throws AgentError `RESPONSE_INVALID`.
 */
export function readGrant(body: JsonObject, expectedType: 'Bearer' | 'DPoP'): Grant {
  const { access_token: token, token_type: type, expires_in: expiresInSeconds, task } = body;
  if (typeof token !== 'string' || token === '') throw invalid('access_token');
  if (body.issued_token_type !== ACCESS_TOKEN) throw invalid('issued_token_type');
  if (typeof type !== 'string' || type.toLowerCase() !== expectedType.toLowerCase()) {
    throw invalid('token_type');
  }
  if (typeof expiresInSeconds !== 'number' || !(expiresInSeconds > 0)) throw invalid('expires_in');
  if (!isObject(task)) throw invalid('task');
  const { id, type: taskType, until } = task;
  if (typeof id !== 'string' || typeof taskType !== 'string' || typeof until !== 'number') {
    throw invalid('task');
  }
  return {
    token,
    tokenType: expectedType,
    expiresInSeconds,
    permissions: readPermissions(body.authorization_details),
    task: Object.freeze({ id, type: taskType, until }),
  };
}

function readPermissions(details: JsonValue | undefined): readonly PermissionJson[] {
  if (!Array.isArray(details)) throw invalid('authorization_details');
  const permissions = details.map((detail) => {
    if (!isObject(detail) || detail.type !== CAPABILITY_DETAIL) {
      throw invalid('authorization_details');
    }
    const { type: _type, ...permission } = detail;
    return deepFreeze(permission) as PermissionJson;
  });
  return Object.freeze(permissions);
}

function readRefusal(status: number, body: JsonObject): Refusal {
  const { error, error_description: description, reason, dimension, refused, record_id: id } = body;
  if (typeof error !== 'string') throw invalid('error');
  return {
    status,
    error,
    ...(typeof description === 'string' ? { description } : {}),
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof dimension === 'string' ? { dimension } : {}),
    ...(isObject(refused) ? { refused: readRefusedPart(refused) } : {}),
    ...(typeof id === 'string' ? { recordId: id } : {}),
  };
}

function readRefusedPart({ permission, slot, path }: JsonObject): NonNullable<Refusal['refused']> {
  return {
    ...(typeof permission === 'number' ? { permission } : {}),
    ...(typeof slot === 'string' ? { slot } : {}),
    ...(typeof path === 'string' ? { path } : {}),
  };
}

function invalid(member: string): AgentError {
  return new AgentError('RESPONSE_INVALID', `the issuer's answer has no valid ${member}`, {
    details: { member },
  });
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function deepFreeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) {
    for (const member of Object.values(value)) deepFreeze(member);
    Object.freeze(value);
  }
  return value;
}
