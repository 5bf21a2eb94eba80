import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  ReplayPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { StreamDeclaration } from '@remit/contracts';
import { BusError } from './error.ts';
import type { Link } from './link.ts';
import { BUS_TIMES } from './policies.ts';

const NOT_FOUND = 404;
const STREAM_NAME_IN_USE = 10058;
const CONSUMER_EXISTS = 10148;

/** What configuration adds to a stream's declaration. */
export type StreamOptions = {
  /** Copies in the cluster, 1 to 5. Default 1. */
  replicas?: number;
  storage?: 'file' | 'memory';
  /** Bytes after which the oldest messages go; what must survive lies elsewhere. Default 1 GiB. */
  maxBytes?: number;
  /** Bytes of one message. Default 1 MiB. */
  maxMessageBytes?: number;
};

export type ConsumerOptions = {
  /** Only messages on this subject. Default: all of the stream. */
  filter?: string;
  /** Milliseconds until an unacknowledged message comes again. Default 30 000. */
  ackWaitMs?: number;
  /** Messages out at once. Default 4096. */
  maxAckPending?: number;
  /** Where a new consumer begins. Default `all`. */
  deliver?: 'all' | 'new';
  replicas?: number;
};

/**
 * Declares a stream, updates it to the declaration and reads it back; see `Bus.ensureStream`.
 */
export async function ensureStream(
  link: Link,
  declared: StreamDeclaration,
  options: StreamOptions = {},
): Promise<void> {
  const wanted = streamConfig(declared, options);
  const { streams } = link.jsm;
  const details = { stream: declared.name };
  try {
    const exists = await streams.info(declared.name).then(() => true, notFound);
    if (exists) await streams.update(declared.name, wanted);
    else await streams.add(wanted).catch(unlessCode(STREAM_NAME_IN_USE));
  } catch (cause) {
    throw apiFailure(
      cause,
      'STREAM_MISMATCH',
      `stream ${declared.name} can't be declared`,
      details,
    );
  }
  const { config } = await streams.info(declared.name).catch((cause: unknown) => {
    throw apiFailure(cause, 'STREAM_UNAVAILABLE', 'the stream could not be read back', details);
  });
  const differing = differences({ ...wanted }, { ...config });
  // Unset by us and by old servers; set, they would take messages out, in or elsewhere.
  for (const option of [
    'mirror',
    'sources',
    'republish',
    'subject_transform',
    'sealed',
    'no_ack',
  ]) {
    if (isSet((config as Record<string, unknown>)[option])) differing.push(option);
  }
  if (isSet(config.persist_mode) && config.persist_mode !== 'default') {
    differing.push('persist_mode');
  }
  if (differing.length > 0) {
    throw new BusError(
      'STREAM_MISMATCH',
      `stream ${declared.name} differs from its declaration in ${differing.join(', ')}`,
      { details: { ...details, differing } },
    );
  }
}

/** Creates a durable pull consumer or brings it to these options; see `Bus.ensureConsumer`. */
export async function ensureConsumer(
  link: Link,
  stream: string,
  durable: string,
  options: ConsumerOptions = {},
): Promise<void> {
  const wanted = consumerConfig(durable, options);
  const { consumers } = link.jsm;
  const details = { stream, durable };
  try {
    const exists = await consumers.info(stream, durable).then(() => true, notFound);
    if (exists) await consumers.update(stream, durable, wanted);
    else await consumers.add(stream, wanted).catch(unlessCode(CONSUMER_EXISTS));
  } catch (cause) {
    const message = `consumer ${durable} of ${stream} can't be declared`;
    throw apiFailure(cause, 'CONSUMER_MISMATCH', message, details);
  }
  const { config } = await consumers.info(stream, durable).catch((cause: unknown) => {
    throw apiFailure(cause, 'STREAM_UNAVAILABLE', 'the consumer could not be read back', details);
  });
  const differing = differences({ ...wanted }, { ...config });
  if (isSet(config.deliver_subject)) differing.push('deliver_subject');
  if (differing.length > 0) {
    throw new BusError(
      'CONSUMER_MISMATCH',
      `consumer ${durable} of ${stream} differs from its declaration in ${differing.join(', ')}`,
      { details: { ...details, differing } },
    );
  }
}

function streamConfig(
  declared: StreamDeclaration,
  options: StreamOptions,
): Partial<StreamConfig> & { name: string } {
  return {
    name: declared.name,
    subjects: [...declared.subjects],
    description: declared.description,
    retention: RetentionPolicy.Limits,
    storage: options.storage === 'memory' ? StorageType.Memory : StorageType.File,
    discard: DiscardPolicy.Old,
    num_replicas: options.replicas ?? 1,
    max_age: nanos(declared.maxAgeSeconds * 1_000),
    max_bytes: options.maxBytes ?? 1_073_741_824,
    max_msg_size: options.maxMessageBytes ?? 1_048_576,
    max_msgs: -1,
    max_msgs_per_subject: -1,
    duplicate_window: nanos(declared.duplicateWindowSeconds * 1_000),
    allow_rollup_hdrs: false,
    deny_delete: true,
    deny_purge: true,
  };
}

function consumerConfig(durable: string, options: ConsumerOptions): Partial<ConsumerConfig> {
  return {
    durable_name: durable,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: options.deliver === 'new' ? DeliverPolicy.New : DeliverPolicy.All,
    replay_policy: ReplayPolicy.Instant,
    ack_wait: nanos(options.ackWaitMs ?? BUS_TIMES.ackWaitMs),
    max_ack_pending: options.maxAckPending ?? 4_096,
    max_deliver: -1,
    ...(options.filter === undefined ? {} : { filter_subject: options.filter }),
    ...(options.replicas === undefined ? {} : { num_replicas: options.replicas }),
  };
}

function differences(wanted: Record<string, unknown>, actual: Record<string, unknown>): string[] {
  return Object.keys(wanted).filter((option) => {
    // Servers leave out what is false or empty.
    if (!isSet(wanted[option]) && !isSet(actual[option])) return false;
    return JSON.stringify(wanted[option]) !== JSON.stringify(actual[option]);
  });
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false && value !== '';
}

function notFound(error: unknown): false {
  if (error instanceof JetStreamApiError && error.status === NOT_FOUND) return false;
  throw error;
}

function unlessCode(code: number): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof JetStreamApiError && error.code === code)) throw error;
  };
}

/** An answer of the server that says no is a mismatch; no answer is an outage. */
function apiFailure(
  cause: unknown,
  mismatch: 'STREAM_MISMATCH' | 'CONSUMER_MISMATCH' | 'STREAM_UNAVAILABLE',
  message: string,
  details: Record<string, unknown>,
): BusError {
  const said = cause instanceof JetStreamApiError;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new BusError(said ? mismatch : 'STREAM_UNAVAILABLE', `${message}: ${reason}`, {
    details,
    cause,
  });
}
