import { setTimeout as wait } from 'node:timers/promises';
import type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import { BusError } from './error.ts';
import type { Link } from './link.ts';
import { BUS_TIMES } from './policies.ts';
import { type ConsumerOptions, ensureConsumer } from './streams.ts';

/** One message of a stream. */
export type StreamMessage = {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Sequence in the stream. */
  readonly seq: number;
  /** 1 at the first delivery. */
  readonly deliveries: number;
  /** Messages of the stream that this consumer has not been given yet. */
  readonly pending: number;
  /** `Nats-Msg-Id`, as the publisher wrote it. */
  readonly msgId: string | undefined;
};

export type ConsumeOptions = {
  stream: string;
  durable: string;
  /** Declares the durable at the start and again when it was deleted; left out, it is only read. */
  consumer?: ConsumerOptions;
  /** Messages handed over at once, at most. Default 256. */
  batch?: number;
  /** Milliseconds before a batch comes again whose handler failed. Default 1000. */
  nakDelayMs?: number;
  /** A handler failed, or the loop is rebuilt. Default: logged. */
  onError?: (error: BusError) => void;
  /** The loop could not read: what this connection declared may be gone from the server. */
  redeclare?: () => void;
};

export type Consumption = {
  /** How often the loop was rebuilt. */
  restarts(): number;
  /** Resolves when the loop reads for the first time. */
  ready: Promise<void>;
  /** Takes no further batch, waits for the one in work, and hands back what was not begun. */
  stop(): Promise<void>;
};

/** Notifications after which the pull loop may be blind: it is built anew instead of trusted. */
const REBUILD: ReadonlySet<string> = new Set([
  'heartbeats_missed',
  'consumer_not_found',
  'consumer_deleted',
  'stream_not_found',
  'no_responders',
]);

/** Reads a durable pull consumer in batches; see `Bus.consume`. */
export function consume(
  link: Link,
  options: ConsumeOptions,
  handler: (messages: readonly StreamMessage[]) => Promise<void>,
): Consumption {
  const { stream, durable, batch = 256, nakDelayMs = BUS_TIMES.nakDelayMs } = options;
  const report =
    options.onError ??
    ((error: BusError) => link.log.warn({ ...error.details, code: error.code }, error.message));
  const halt = new AbortController();
  const queue: JsMsg[] = [];
  const { promise: ready, resolve: isReady } = Promise.withResolvers<void>();
  const ackWaitMs = options.consumer?.ackWaitMs ?? BUS_TIMES.ackWaitMs;
  let inWork: readonly JsMsg[] = [];
  let heldBefore = new Set<JsMsg>();
  let current: ConsumerMessages | undefined;
  let working: Promise<void> | undefined;
  let isWorking = false;
  let restarts = 0;

  /** Hands over what lies in the queue, one batch after the other. */
  async function work(): Promise<void> {
    isWorking = true;
    try {
      while (queue.length > 0 && !halt.signal.aborted) await handOver(queue.splice(0, batch));
    } finally {
      // In the same step as the last look at the queue: what comes from here on starts anew.
      isWorking = false;
    }
  }

  async function handOver(messages: JsMsg[]): Promise<void> {
    inWork = messages;
    try {
      await handler(messages.map(toStreamMessage));
      for (const message of messages) message.ack();
    } catch (cause) {
      report(
        new BusError('HANDLER_FAILED', 'a batch failed and will come again', {
          details: { stream, durable, messages: messages.length },
          cause,
        }),
      );
      // On a closed connection this throws, and the server brings them again by itself.
      for (const message of messages) message.nak(nakDelayMs);
    } finally {
      inWork = [];
    }
  }

  /**
   * Tells the server that what lies here is still in work, so that the wait for acknowledgements can be
   * short: whoever is killed has its messages back soon, whoever is slow does not get them twice.
   */
  const keeping = setInterval(() => {
    const held = [...inWork, ...queue];
    if (link.status() === 'connected') {
      for (const message of held) if (heldBefore.has(message)) message.working();
    }
    heldBefore = new Set(held);
  }, ackWaitMs / 3);
  keeping.unref();

  function receive(message: JsMsg): void {
    queue.push(message);
    if (isWorking) return;
    working = work().catch((cause: unknown) => {
      report(
        new BusError('STREAM_UNAVAILABLE', 'a batch could not be answered', {
          details: { stream, durable },
          cause,
        }),
      );
    });
  }

  async function watch(messages: ConsumerMessages): Promise<void> {
    for await (const notification of messages.status()) {
      if (!REBUILD.has(notification.type)) continue;
      if (link.status() === 'connected') await messages.close();
    }
  }

  async function readUntilItEnds(): Promise<void> {
    if (options.consumer) await ensureConsumer(link, stream, durable, options.consumer);
    const consumer = await link.js.consumers.get(stream, durable);
    const messages = await consumer.consume({
      max_messages: batch * 2,
      expires: BUS_TIMES.pullExpiresMs,
      idle_heartbeat: BUS_TIMES.pullHeartbeatMs,
      callback: receive,
    });
    current = messages;
    if (halt.signal.aborted) await messages.close();
    watch(messages).catch(() => {});
    isReady();
    const error = await messages.closed();
    if (error) throw error;
  }

  async function loop(): Promise<void> {
    while (!halt.signal.aborted && link.status() !== 'closed') {
      try {
        await readUntilItEnds();
      } catch (cause) {
        report(
          new BusError('STREAM_UNAVAILABLE', 'a consumer is built anew', {
            details: { stream, durable },
            cause,
          }),
        );
        options.redeclare?.();
      }
      if (halt.signal.aborted) return;
      restarts++;
      const backoffMs = BUS_TIMES.consumeBackoffMs * (0.5 + Math.random() / 2);
      await wait(backoffMs, undefined, { signal: halt.signal }).catch(() => {});
    }
  }

  const running = loop();
  return {
    restarts: () => restarts,
    ready,
    async stop() {
      halt.abort();
      await current?.close();
      await running;
      await working;
      clearInterval(keeping);
      if (link.status() !== 'connected') return;
      // Else they come again only after the acknowledgement's time-out; and the server must know that
      // nobody listens any more before it gives the next message to somebody.
      for (const message of queue.splice(0)) message.nak();
      await Promise.race([
        link.nc.flush(),
        wait(BUS_TIMES.flushTimeoutMs, undefined, { ref: false }),
      ]);
    },
  };
}

function toStreamMessage(message: JsMsg): StreamMessage {
  const { info } = message;
  const msgId = message.headers?.get('Nats-Msg-Id');
  return {
    subject: message.subject,
    data: message.data,
    seq: info.streamSequence,
    deliveries: info.deliveryCount,
    pending: info.pending,
    msgId: msgId === undefined || msgId === '' ? undefined : msgId,
  };
}
