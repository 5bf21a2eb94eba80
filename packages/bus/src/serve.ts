import { setTimeout as wait } from 'node:timers/promises';
import type { Msg } from '@nats-io/transport-node';
import {
  CALL_HEADER,
  ContractError,
  conform,
  isWireErrorCode,
  parseJsonStrict,
  parseRpcSubject,
  type RpcDeclaration,
  type RpcMethod,
  type RpcRequest,
  type RpcResponse,
  type RpcSubject,
  rpc,
  SERVICES,
  SIGNED,
  sha256,
  subjects,
  WIRE_ERRORS,
  type WireErrorCode,
} from '@remit/contracts';
import { BusError } from './error.ts';
import type { Link } from './link.ts';
import { BUS_TIMES } from './policies.ts';
import type { Signer } from './signer.ts';

const REPLY_TOKEN = /^[A-Za-z0-9_-]{1,64}$/;
const CALL = /^[0-9a-f]{32}$/;
const SERVER_REPLY = /^_R_\.[A-Za-z0-9_.-]{1,128}$/;

/** Who asks, for which tenant: both from the subject, which the server's permissions bind. */
export type CallContext = { readonly tenant: string; readonly caller: string };

/** The services that answer requests. */
export type Callee = (typeof rpc)[RpcMethod]['callee'];

type MethodsOf<C extends string> = Extract<RpcMethod, `${C}.${string}`>;
type MethodName<M> = M extends `${string}.${infer N}` ? N : never;

/** One handler per method of the callee that this process serves. */
export type Handlers<C extends Callee> = {
  [M in MethodsOf<C> as MethodName<M>]?: (
    context: CallContext,
    body: RpcRequest<M>,
  ) => Promise<RpcResponse<M>> | RpcResponse<M>;
};

export type ServeOptions = {
  /** Signs every answer, errors too. */
  signer: Signer;
  /** What became of an answer that says INTERNAL, or of a message that got none. */
  onError?: (error: unknown, context: { method?: string; tenant?: string }) => void;
  /** Requests worked on at once; more are answered OVERLOADED. Default 256. */
  maxInFlight?: number;
  /** Bytes of one request; larger ones are answered PAYLOAD_TOO_LARGE. Default 262 144. */
  maxRequestBytes?: number;
};

export type EndpointStats = { requests: number; errors: number; processingNs: number };

export type Served = {
  readonly callee: string;
  readonly methods: readonly string[];
  stats(): Readonly<Record<string, EndpointStats>>;
  /** Takes no further request and waits for the ones in work, 2 s at most. */
  stop(): Promise<void>;
};

type Handler = (context: CallContext, body: unknown) => unknown;

/** Answers requests; see `Bus.serve`. */
export function serve<C extends Callee>(
  link: Link,
  callee: C,
  handlers: NoInfer<Handlers<C>>,
  options: ServeOptions,
): Served {
  const { signer, maxInFlight = 256, maxRequestBytes = 262_144 } = options;
  const report = options.onError ?? (() => {});
  const table = new Map(Object.entries(handlers) as [string, Handler][]);
  const stats = new Map<string, EndpointStats>();
  for (const method of table.keys()) {
    if (declaration(callee, method) === undefined) {
      throw new BusError('OPTION_INVALID', 'a handler for a method that is not declared', {
        details: { callee, method },
      });
    }
    stats.set(method, { requests: 0, errors: 0, processingNs: 0 });
  }
  const inWork = new Set<Promise<void>>();

  async function work(message: Msg, subject: RpcSubject, reply: string): Promise<void> {
    const method = `${callee}.${subject.method}`;
    const started = process.hrtime.bigint();
    const { tenant } = subject;
    const call = message.headers?.get(CALL_HEADER) ?? '';
    const base = {
      req: sha256(message.data),
      ...(CALL.test(call) ? { call } : {}),
      method,
      tenant,
    };
    let text: string;
    let failed = false;
    try {
      const body = await answer(message, subject);
      text = signer.sign(SIGNED.reply, JSON.stringify({ ...base, body }));
      if (text.length > link.server().maxPayload) {
        throw new BusError('PAYLOAD_TOO_LARGE', 'the answer is too large for the bus', {
          details: { method, bytes: text.length },
        });
      }
    } catch (error) {
      failed = true;
      const code = wireCode(error) ?? 'INTERNAL';
      if (code === 'INTERNAL') report(error, { method, tenant });
      const body = { code, message: WIRE_ERRORS[code] };
      text = signer.sign(SIGNED.reply, JSON.stringify({ ...base, error: body }));
    }
    const counted = stats.get(subject.method);
    if (counted) {
      counted.requests++;
      counted.errors += failed ? 1 : 0;
      counted.processingNs += Number(process.hrtime.bigint() - started);
    }
    try {
      link.nc.publish(reply, text);
    } catch (error) {
      report(error, { method, tenant });
    }
  }

  async function answer(message: Msg, subject: RpcSubject): Promise<unknown> {
    if (inWork.size >= maxInFlight) throw refused('OVERLOADED');
    if (message.data.length > maxRequestBytes) throw refused('PAYLOAD_TOO_LARGE');
    const declared = declaration(callee, subject.method);
    const handler = table.get(subject.method);
    if (declared === undefined || handler === undefined) throw refused('METHOD_NOT_ALLOWED');
    if (!mayCall(declared, subject.caller)) throw refused('FORBIDDEN');
    let body: unknown;
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(message.data);
      body = conform(declared.request, parseJsonStrict(text, { maxLength: maxRequestBytes }));
    } catch {
      throw refused('INVALID_REQUEST');
    }
    const { tenant, caller } = subject;
    return conform(declared.response, await handler({ tenant, caller }, body));
  }

  function start(job: Promise<void>, { method, tenant }: RpcSubject): void {
    inWork.add(job);
    job
      .catch((cause: unknown) => report(cause, { method, tenant }))
      .finally(() => inWork.delete(job));
  }

  const subscription = link.nc.subscribe(subjects.rpcServed(callee), {
    queue: callee,
    callback(error, message) {
      if (error !== null) {
        report(error, {});
        return;
      }
      let subject: RpcSubject;
      try {
        subject = parseRpcSubject(message.subject);
      } catch (cause) {
        if (!(cause instanceof ContractError)) throw cause;
        report(cause, {});
        return;
      }
      const { reply } = message;
      if (reply === undefined || !isReplyOf(reply, subject)) {
        // Answering would put our words on a subject that the caller may not publish to.
        report(
          new BusError('REPLY_SUBJECT_REFUSED', 'a request asks for its answer elsewhere', {
            details: { caller: subject.caller, method: subject.method },
          }),
          { method: subject.method, tenant: subject.tenant },
        );
        return;
      }
      start(work(message, subject, reply), subject);
    },
  });

  return {
    callee,
    methods: [...table.keys()],
    stats: () => Object.fromEntries(stats),
    async stop() {
      if (!subscription.isClosed()) {
        if (link.status() === 'connected') await subscription.drain();
        else subscription.unsubscribe();
      }
      await settledWithin(inWork, BUS_TIMES.stopTimeoutMs);
    },
  };
}

async function settledWithin(work: Iterable<Promise<unknown>>, limitMs: number): Promise<void> {
  const halt = new AbortController();
  const late = wait(limitMs, undefined, { signal: halt.signal }).catch(() => {});
  await Promise.race([Promise.allSettled(work), late]);
  halt.abort();
}

/** Whether an answer may go there: below the caller's own replies from this callee, or the server's. */
function isReplyOf(reply: string, subject: RpcSubject): boolean {
  if (SERVER_REPLY.test(reply)) return true;
  const prefix = `_R.${subject.caller}.${subject.callee}.`;
  if (!reply.startsWith(prefix)) return false;
  const rest = reply.slice(prefix.length).split('.');
  return rest.length === 2 && rest.every((token) => REPLY_TOKEN.test(token));
}

function declaration(callee: string, method: string): RpcDeclaration | undefined {
  const name = `${callee}.${method}`;
  return Object.hasOwn(rpc, name) ? rpc[name as RpcMethod] : undefined;
}

/** The server's permissions say the same; this holds when they were written wrongly. */
function mayCall(declared: RpcDeclaration, caller: string): boolean {
  const isService = (SERVICES as readonly string[]).includes(caller);
  return isService ? declared.callers.includes(caller) : declared.peps;
}

function refused(code: WireErrorCode): Error & { wireCode: WireErrorCode } {
  return Object.assign(new Error(WIRE_ERRORS[code]), { wireCode: code });
}

function wireCode(error: unknown): WireErrorCode | undefined {
  if (typeof error !== 'object' || error === null || !('wireCode' in error)) return undefined;
  const { wireCode: code } = error;
  return typeof code === 'string' && isWireErrorCode(code) ? code : undefined;
}
