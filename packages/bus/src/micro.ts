import type { Msg, Subscription } from '@nats-io/transport-node';
import { subjects } from '@remit/contracts';
import type { Link } from './link.ts';
import type { Served } from './serve.ts';

/** The operator's inbox, or the server's own subjects when somebody asks from another account. */
const ASKER = /^(?:_R_|_INBOX_operator)\.[A-Za-z0-9_.-]{1,128}$/;

export type MicroOptions = {
  /** The service's name, as `nats micro ls` shows it. */
  name: string;
  /** Semantic version. */
  version: string;
  description?: string;
};

const VERBS = ['PING', 'INFO', 'STATS'] as const;
type Verb = (typeof VERBS)[number];

/**
 * Answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, also by name and by id (ADR-32 of NATS, service
 * protocol v1); see `Bus.respondToMicro`.
 */
export function respondToMicro(
  link: Link,
  options: MicroOptions,
  served: () => readonly Served[],
): { stop(): void } {
  const started = new Date().toISOString();
  const identity = {
    name: options.name,
    id: link.instance,
    version: options.version,
    metadata: {},
  };

  function answer(verb: Verb): unknown {
    if (verb === 'PING') return { type: 'io.nats.micro.v1.ping_response', ...identity };
    const endpoints = served().flatMap((one) =>
      Object.entries(one.stats()).map(([method, stats]) => ({
        name: method,
        subject: subjects.rpcServed(one.callee).replace('*', method),
        queue_group: one.callee,
        ...(verb === 'INFO'
          ? { metadata: {} }
          : {
              num_requests: stats.requests,
              num_errors: stats.errors,
              last_error: '',
              processing_time: stats.processingNs,
              average_processing_time: Math.round(stats.processingNs / Math.max(1, stats.requests)),
            }),
      })),
    );
    return verb === 'INFO'
      ? {
          type: 'io.nats.micro.v1.info_response',
          ...identity,
          description: options.description ?? '',
          endpoints,
        }
      : { type: 'io.nats.micro.v1.stats_response', ...identity, started, endpoints };
  }

  function listen(verb: Verb, subject: string): Subscription {
    return link.nc.subscribe(subject, {
      callback(error: Error | null, message: Msg) {
        if (error !== null) link.log.warn({ subject }, 'bus: no right to answer service discovery');
        else if (message.reply !== undefined && ASKER.test(message.reply)) {
          link.nc.publish(message.reply, JSON.stringify(answer(verb)));
        }
      },
    });
  }

  const subscriptions = VERBS.flatMap((verb) => [
    listen(verb, `$SRV.${verb}`),
    listen(verb, `$SRV.${verb}.${options.name}`),
    listen(verb, `$SRV.${verb}.${options.name}.${link.instance}`),
  ]);
  return {
    stop: () => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}
