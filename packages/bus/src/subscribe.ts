import { BusError } from './error.ts';
import type { Link } from './link.ts';

export type SubscribeOptions = {
  /** Members of a queue group share the messages. Default: every subscriber gets each. */
  queue?: string;
  /** The server refused the subscription, or the listener threw. Default: logged. */
  onError?: (error: BusError) => void;
};

export type BusSubscription = {
  /** How many messages came so far. */
  received(): number;
  stop(): void;
};

/** Core subscription: at most once; see `Bus.subscribe`. */
export function subscribe(
  link: Link,
  subject: string,
  listener: (subject: string, bytes: Uint8Array) => void,
  options: SubscribeOptions = {},
): BusSubscription {
  const report =
    options.onError ??
    ((error: BusError) => link.log.warn({ ...error.details, code: error.code }, error.message));
  const subscription = link.nc.subscribe(subject, {
    ...(options.queue === undefined ? {} : { queue: options.queue }),
    callback(error, message) {
      if (error !== null) {
        report(
          new BusError('PERMISSION_DENIED', 'the subscription was refused', {
            details: { subject },
            cause: error,
          }),
        );
        return;
      }
      try {
        listener(message.subject, message.data);
      } catch (cause) {
        report(
          new BusError('HANDLER_FAILED', 'a listener threw', {
            details: { subject: message.subject },
            cause,
          }),
        );
      }
    },
  });
  return {
    received: () => subscription.getReceived(),
    stop: () => subscription.unsubscribe(),
  };
}
