import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { headers, type Msg, type Subscription } from '@nats-io/transport-node';
import {
  CALL_HEADER,
  conform,
  isWireErrorCode,
  parseJsonStrict,
  type RpcMethod,
  type RpcRequest,
  type RpcResponse,
  rpc,
  SIGNED,
  type SignedReply,
  sha256,
  signedReply,
  subjects,
} from '@remit/contracts';
import { BusError } from './error.ts';
import type { Link } from './link.ts';
import { BUS_POLICIES, type BusPolicyName, METHOD_POLICY } from './policies.ts';
import type { Verifier } from './verifier.ts';

const NO_RESPONDERS = 503;

export type CallOptions = {
  /** The pinned keys of the service that answers. */
  verifier: Verifier;
  /** Default: the method's own. */
  policy?: BusPolicyName;
};

type Pending = {
  callee: string;
  subject: string;
  settle: (result: Uint8Array | BusError) => void;
};

export type Caller = {
  call<M extends RpcMethod>(
    method: M,
    tenant: string,
    body: RpcRequest<M>,
    options: CallOptions,
  ): Promise<RpcResponse<M>>;
};

/** Requests with reply subjects of one's own; see `Bus.call`. */
export function createCaller(link: Link): Caller {
  const pending = new Map<string, Pending>();
  let subscription: Subscription | undefined;

  function failAll(error: BusError, only?: (entry: Pending) => boolean): void {
    for (const [id, entry] of pending) {
      if (only !== undefined && !only(entry)) continue;
      pending.delete(id);
      entry.settle(error);
    }
  }

  link.onStatus((status) => {
    if (status === 'connected') return;
    failAll(new BusError('CALL_UNAVAILABLE', 'the connection was lost before the answer came'));
  });
  link.onDenied((subject) => {
    failAll(
      new BusError('PERMISSION_DENIED', 'this user may not send that request', {
        details: { subject },
      }),
      (entry) => entry.subject === subject,
    );
  });

  function receive(error: Error | null, message: Msg): void {
    if (error !== null) {
      subscription = undefined;
      failAll(new BusError('PERMISSION_DENIED', 'this user may not receive replies'));
      return;
    }
    const [, , callee, , id] = message.subject.split('.');
    const entry = id === undefined ? undefined : pending.get(id);
    if (id === undefined || entry === undefined || entry.callee !== callee) return;
    pending.delete(id);
    if (message.data.length === 0 && message.headers?.code === NO_RESPONDERS) {
      entry.settle(new BusError('CALL_UNAVAILABLE', 'nobody serves that request'));
    } else {
      entry.settle(message.data);
    }
  }

  function attempt(
    target: { callee: string; subject: string },
    request: Uint8Array,
    timeoutMs: number,
  ): Promise<{ call: string; bytes: Uint8Array }> {
    if (link.status() !== 'connected') {
      // The client drops what is published meanwhile, without a word.
      return Promise.reject(new BusError('CALL_UNAVAILABLE', 'the bus is not connected'));
    }
    subscription ??= link.nc.subscribe(subjects.replies(link.user, link.instance), {
      callback: receive,
    });
    const id = randomBytes(16).toString('hex');
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        pending.delete(id);
        reject(
          new BusError('CALL_TIMEOUT', 'no answer in time', {
            details: { subject: target.subject, timeoutMs },
          }),
        );
      }, timeoutMs);
      pending.set(id, {
        ...target,
        settle(result) {
          clearTimeout(timer);
          if (result instanceof BusError) reject(result);
          else resolve({ call: id, bytes: result });
        },
      });
      const reply = subjects.reply(link.user, target.callee, link.instance, id);
      try {
        const named = headers();
        named.set(CALL_HEADER, id);
        link.nc.publish(target.subject, request, { reply, headers: named });
      } catch (cause) {
        pending.delete(id);
        clearTimeout(timer);
        reject(new BusError('CALL_UNAVAILABLE', 'the request could not be sent', { cause }));
      }
    });
  }

  return {
    async call(method, tenant, body, options) {
      const { callee, method: name, request: schema, response } = rpc[method];
      const target = { callee, subject: subjects.rpc(callee, name, tenant, link.user) };
      const request = encodeRequest(link, method, schema, body);
      const policy = BUS_POLICIES[options.policy ?? METHOD_POLICY[method]];
      let answer: Awaited<ReturnType<typeof attempt>> | undefined;
      for (let left = policy.retries; answer === undefined; left--) {
        try {
          answer = await attempt(target, request, policy.timeoutMs);
        } catch (error) {
          if (left <= 0 || !isWorthRetrying(error)) throw error;
          await wait(policy.backoffMs * (0.5 + Math.random() / 2));
        }
      }
      const reply = readReply(options.verifier, answer.bytes, {
        req: sha256(request),
        call: answer.call,
        method,
        tenant,
      });
      if (reply.error !== undefined) throw refusal(method, reply.error);
      try {
        return conform(response, reply.body) as RpcResponse<typeof method>;
      } catch (cause) {
        throw new BusError('REPLY_INVALID', 'the answer does not follow its schema', {
          details: { method },
          cause,
        });
      }
    },
  };
}

function encodeRequest(
  link: Link,
  method: RpcMethod,
  schema: Parameters<typeof conform>[0],
  body: unknown,
): Uint8Array {
  try {
    conform(schema, body);
  } catch (cause) {
    throw new BusError('REQUEST_INVALID', 'the request does not follow its schema', {
      details: { method },
      cause,
    });
  }
  const request = Buffer.from(JSON.stringify(body), 'utf8');
  const limit = link.server().maxPayload;
  if (request.length > limit) {
    throw new BusError('PAYLOAD_TOO_LARGE', 'the request is too large for the bus', {
      details: { method, bytes: request.length, limit },
    });
  }
  return request;
}

/** Believes an answer only after signature, request hash, call, method and tenant. */
function readReply(
  verifier: Verifier,
  bytes: Uint8Array,
  expected: { req: string; call: string; method: string; tenant: string },
): SignedReply {
  let reply: SignedReply;
  try {
    const payload = Buffer.from(verifier.verify(SIGNED.reply, bytes)).toString('utf8');
    reply = conform(signedReply, parseJsonStrict(payload));
  } catch (cause) {
    throw new BusError('REPLY_INVALID', 'the answer is not a signed reply', {
      details: { method: expected.method },
      cause,
    });
  }
  const answersThis =
    reply.req === expected.req &&
    reply.call === expected.call &&
    reply.method === expected.method &&
    reply.tenant === expected.tenant &&
    (reply.error === undefined) !== (reply.body === undefined);
  if (!answersThis) {
    throw new BusError('REPLY_INVALID', 'the answer belongs to another request', {
      details: { method: expected.method },
    });
  }
  return reply;
}

function refusal(method: string, error: { code: string; message: string }): BusError {
  if (!isWireErrorCode(error.code)) {
    return new BusError('REPLY_INVALID', 'the answer carries an unknown error code', {
      details: { method },
    });
  }
  return new BusError('CALL_REFUSED', `${method} was refused: ${error.code}`, {
    details: { method, code: error.code, message: error.message },
  });
}

function isWorthRetrying(error: unknown): boolean {
  return (
    error instanceof BusError &&
    (error.code === 'CALL_TIMEOUT' || error.code === 'CALL_UNAVAILABLE')
  );
}
