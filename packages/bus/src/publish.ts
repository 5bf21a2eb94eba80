import { setTimeout as wait } from 'node:timers/promises';
import { errors } from '@nats-io/transport-node';
import { BusError } from './error.ts';
import type { Link } from './link.ts';
import { BUS_TIMES } from './policies.ts';

/** `duplicate` when the very first attempt met its id in the stream already: somebody used it before. */
export type RecordAck = 'acked' | 'duplicate';

export type PublishRecordOptions = {
  /** Milliseconds of one attempt. Default 400, at most 500. */
  timeoutMs?: number;
  /** Further attempts under the same message id. Default 2. */
  retries?: number;
};

/** Core publish: at most once; see `Bus.publish`. */
export function publish(link: Link, subject: string, bytes: Uint8Array | string): void {
  if (link.status() === 'closed') throw new BusError('CLOSED', 'the bus is closed');
  // The client keeps a reference until the next flush, so a reused buffer would send other bytes.
  const payload = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : Uint8Array.from(bytes);
  checkSize(link, subject, payload);
  try {
    link.nc.publish(subject, payload);
  } catch (cause) {
    throw new BusError('PUBLISH_FAILED', 'could not publish', { details: { subject }, cause });
  }
}

/** JetStream publish: resolves when a stream has stored it; see `Bus.publishRecord`. */
export async function publishRecord(
  link: Link,
  subject: string,
  bytes: Uint8Array | string,
  msgId: string,
  options: PublishRecordOptions = {},
): Promise<RecordAck> {
  const { timeoutMs = BUS_TIMES.publishTimeoutMs, retries = BUS_TIMES.publishRetries } = options;
  if (!(timeoutMs > 0 && timeoutMs <= 500)) {
    throw new BusError('OPTION_INVALID', 'timeoutMs is not between 0 and 500', {
      details: { timeoutMs },
    });
  }
  const payload = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : Uint8Array.from(bytes);
  checkSize(link, subject, payload);
  for (let attempt = 0; ; attempt++) {
    if (link.status() === 'closed') throw new BusError('CLOSED', 'the bus is closed');
    if (link.status() === 'disconnected') {
      // The client drops what is published meanwhile, without a word.
      throw new BusError('DISCONNECTED', 'the bus is not connected', { details: { subject } });
    }
    try {
      const ack = await link.js.publish(subject, payload, { msgID: msgId, timeout: timeoutMs });
      return ack.duplicate && attempt === 0 ? 'duplicate' : 'acked';
    } catch (cause) {
      if (isDenied(cause)) {
        throw new BusError('PERMISSION_DENIED', 'this user may not publish there', {
          details: { subject },
          cause,
        });
      }
      if (attempt >= retries) {
        throw new BusError('PUBLISH_FAILED', 'no stream acknowledged the message', {
          details: { subject, attempts: attempt + 1 },
          cause,
        });
      }
      // A time-out has waited long enough; a stream without a leader answers at once.
      if (!(cause instanceof errors.TimeoutError)) await wait(25 * (attempt + 1));
    }
  }
}

function checkSize(link: Link, subject: string, payload: Uint8Array): void {
  const limit = link.server().maxPayload;
  if (payload.length > limit) {
    throw new BusError('PAYLOAD_TOO_LARGE', 'the message is too large for the bus', {
      details: { subject, bytes: payload.length, limit },
    });
  }
}

/** The client wraps what the server said, once or twice. */
function isDenied(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof errors.PermissionViolationError) return true;
  }
  return false;
}
