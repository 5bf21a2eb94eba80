import type { RpcMethod, RpcRequest, RpcResponse, StreamDeclaration } from '@remit/contracts';
import { type CallOptions, createCaller } from './call.ts';
import { type ConsumeOptions, type Consumption, consume, type StreamMessage } from './consume.ts';
import { createDeclarations } from './declarations.ts';
import { BusError } from './error.ts';
import { type BusStatus, type ConnectOptions, type Link, openLink } from './link.ts';
import { type MicroOptions, respondToMicro } from './micro.ts';
import { BUS_TIMES } from './policies.ts';
import { type PublishRecordOptions, publish, publishRecord, type RecordAck } from './publish.ts';
import { type Callee, type Handlers, type Served, type ServeOptions, serve } from './serve.ts';
import {
  type ConsumerOptions,
  ensureConsumer,
  ensureStream,
  type StreamOptions,
} from './streams.ts';
import { type BusSubscription, type SubscribeOptions, subscribe } from './subscribe.ts';

/** One connection to NATS. Everything that another package needs of it. */
export type Bus = {
  /** The NATS user: the caller in subjects, the producer of records. */
  readonly user: string;
  readonly instance: string;
  /** The version that the server announced, and the bytes that one message may have. */
  server(): { version: string; maxPayload: number };

  /**
   * Asks another service. Checks the request against the method's schema, sends it on a subject that
   * names tenant and caller, and believes the answer only after its signature (`verifier`), the hash
   * of the request, method, tenant and the response schema. Waits and retries as the policy says;
   * a retry sends the same bytes. Does not check what the answer means.
   * Throws BusError `REQUEST_INVALID`, `PAYLOAD_TOO_LARGE`, `CALL_TIMEOUT`, `CALL_UNAVAILABLE`
   * (nobody serves it, or the connection is down), `PERMISSION_DENIED`, `REPLY_INVALID`, and
   * `CALL_REFUSED` with the callee's `{ code, message }` in `details`.
   */
  call<M extends RpcMethod>(
    method: M,
    tenant: string,
    body: RpcRequest<M>,
    options: CallOptions,
  ): Promise<RpcResponse<M>>;

  /**
   * Answers the requests of `callee` in its queue group. Takes tenant and caller from the subject,
   * checks the caller against the contract and the body against the closed schema, signs every
   * answer, and answers only below the caller's replies or the server's own `_R_.`. A thrown error
   * with a `wireCode` becomes that code and its sentence; every other becomes INTERNAL, without its
   * message. Throws BusError `OPTION_INVALID` for a method that is not declared.
   */
  serve<C extends Callee>(callee: C, handlers: NoInfer<Handlers<C>>, options: ServeOptions): Served;

  /** Core subscription: at most once, no order across reconnects. The listener must not block. */
  subscribe(
    subject: string,
    listener: (subject: string, bytes: Uint8Array) => void,
    options?: SubscribeOptions,
  ): BusSubscription;

  /** Core publish of a copy: lost without a word while disconnected. Only where a sequence finds loss. */
  publish(subject: string, bytes: Uint8Array | string): void;

  /**
   * Publishes to a stream and resolves when it is stored there, which is not yet durable. Retries
   * under the same id. Throws BusError `DISCONNECTED`, `PUBLISH_FAILED` (unknown whether stored),
   * `PERMISSION_DENIED`, `PAYLOAD_TOO_LARGE` or `CLOSED`.
   */
  publishRecord(
    subject: string,
    bytes: Uint8Array | string,
    msgId: string,
    options?: PublishRecordOptions,
  ): Promise<RecordAck>;

  /**
   * Creates a stream or brings it to its declaration, then reads it back. Only for its owner. Repeated
   * after every reconnect: a server may have lost its store.
   * Throws BusError `STREAM_MISMATCH` naming what still differs, `STREAM_UNAVAILABLE` without answer.
   */
  ensureStream(declared: StreamDeclaration, options?: StreamOptions): Promise<void>;

  /** The same for a durable pull consumer with explicit acknowledgement. Throws `CONSUMER_MISMATCH`. */
  ensureConsumer(stream: string, durable: string, options?: ConsumerOptions): Promise<void>;

  /**
   * Hands batches of a durable consumer to `handler`, one at a time, and acknowledges a batch only
   * after its handler resolved; one whose handler failed comes again after `nakDelayMs`. Rebuilds its
   * loop after missed heartbeats and a deleted consumer. At least once: the handler is idempotent.
   */
  consume(
    options: ConsumeOptions,
    handler: (messages: readonly StreamMessage[]) => Promise<void>,
  ): Consumption;

  /** Answers service discovery of operators in another account; see `nats micro ls`. */
  respondToMicro(options: MicroOptions): { stop(): void };

  status(): BusStatus;
  /** Calls `listener` at every change of the status; returns how to stop that. */
  onStatus(listener: (status: BusStatus) => void): () => void;
  /** Resolves when the server has everything published so far. Throws `DISCONNECTED`, `CLOSED`. */
  flush(): Promise<void>;
  /** Stops serving and consuming, sends what is left, and closes for ever. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * Connects to NATS with an nkey, an inbox prefix of one's own (`_INBOX_<user>`), pings every 500 ms
 * and reconnects for ever with jitter. Logs a warning for a server with published weaknesses.
 * Throws BusError `CONNECT_FAILED` (no server within `firstConnectMs`, or the user is unknown),
 * `SERVER_TOO_OLD` or `OPTION_INVALID`.
 */
export async function connectBus(options: ConnectOptions): Promise<Bus> {
  const link = await openLink(options);
  const caller = createCaller(link);
  const declarations = createDeclarations(link);
  const served = new Set<Served>();
  const consumptions = new Set<Consumption>();

  async function close(): Promise<void> {
    if (link.status() === 'closed') return;
    await Promise.allSettled([...consumptions].map((one) => one.stop()));
    await Promise.allSettled([...served].map((one) => one.stop()));
    if (link.status() === 'connected') {
      await within(link.nc.drain(), BUS_TIMES.flushTimeoutMs).catch(() => link.nc.close());
    } else {
      await link.nc.close();
    }
  }

  return {
    user: link.user,
    instance: link.instance,
    server: link.server,
    call: caller.call,
    serve(callee, handlers, serveOptions) {
      const one = serve(link, callee, handlers, serveOptions);
      served.add(one);
      return one;
    },
    subscribe: (subject, listener, subscribeOptions) =>
      subscribe(link, subject, listener, subscribeOptions),
    publish: (subject, bytes) => publish(link, subject, bytes),
    publishRecord: (subject, bytes, msgId, publishOptions) =>
      publishRecord(link, subject, bytes, msgId, publishOptions),
    ensureStream: (declared, streamOptions) =>
      declarations.declare(`stream ${declared.name}`, () =>
        ensureStream(link, declared, streamOptions),
      ),
    ensureConsumer: (stream, durable, consumerOptions) =>
      declarations.declare(`consumer ${durable} of ${stream}`, () =>
        ensureConsumer(link, stream, durable, consumerOptions),
      ),
    consume(consumeOptions, handler) {
      const one = consume(link, { ...consumeOptions, redeclare: declarations.repeat }, handler);
      consumptions.add(one);
      return one;
    },
    respondToMicro: (microOptions) => respondToMicro(link, microOptions, () => [...served]),
    status: link.status,
    onStatus: link.onStatus,
    flush: () => flush(link),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function flush(link: Link): Promise<void> {
  const status = link.status();
  if (status !== 'connected') {
    const code = status === 'closed' ? 'CLOSED' : 'DISCONNECTED';
    throw new BusError(code, `the bus is ${status}`);
  }
  await within(link.nc.flush(), BUS_TIMES.flushTimeoutMs);
}

async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new BusError('DISCONNECTED', 'the server did not answer in time')),
    timeoutMs,
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
