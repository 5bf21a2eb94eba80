import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import {
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream';
import { connect, errors, type NatsConnection } from '@nats-io/transport-node';
import { inboxPrefix, nodeName } from '@remit/contracts';
import { BusError } from './error.ts';
import { nkeyOf } from './nkey.ts';
import { BUS_TIMES } from './policies.ts';
import { assertServerVersion } from './server-version.ts';

/** `closed` is for ever: whoever rests on the bus is stale from then on. */
export type BusStatus = 'connected' | 'disconnected' | 'closed';

/** Where the bus writes what an operator should see; pino's loggers fit. */
export type BusLog = {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
};

export type ConnectOptions = {
  /** One `nats://host:port` or `tls://host:port`, or several separated by commas. */
  url: string;
  /** The NATS user; it is also the caller in subjects, and the prefix of the inbox. */
  user: string;
  /** The nkey seed of the user (`SU…`). It never leaves the process and is never logged. */
  seed: string;
  /** What the server shows for this connection. */
  name: string;
  /** Tells replicas apart in reply subjects: `[a-z0-9-]`, at most 63. Default: 64 random bits. */
  instance?: string;
  /** Refuse nats-server versions with published weaknesses. Default false. */
  production?: boolean;
  /** Milliseconds for which the first connection is tried again. Default 10 000; 0 tries once. */
  firstConnectMs?: number;
  log?: BusLog;
  onStatus?: (status: BusStatus) => void;
};

/** One connection and what the parts of the bus share. Stays inside this package. */
export type Link = {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly user: string;
  readonly instance: string;
  readonly log: BusLog;
  /** What the server last announced; the client forgets it while it reconnects. */
  server(): { version: string; maxPayload: number };
  status(): BusStatus;
  /** Calls `fn` at every change; returns how to stop that. */
  onStatus(fn: (status: BusStatus) => void): () => void;
  /** Calls `fn` with the subject when the server refused a publish. */
  onDenied(fn: (subject: string) => void): () => void;
};

const silent: BusLog = { info: () => {}, warn: () => {} };

/** Opens the connection: see `connectBus`. */
export async function openLink(options: ConnectOptions): Promise<Link> {
  const user = checked(options.user, 'user');
  const instance = checked(options.instance ?? randomBytes(8).toString('hex'), 'instance');
  const log = options.log ?? silent;
  const nc = await connectFirst(options, user);
  try {
    const warning = assertServerVersion(nc.info ?? { version: 'unknown' }, {
      production: options.production ?? false,
    });
    if (warning !== undefined) log.warn({ version: nc.info?.version }, warning);
  } catch (error) {
    await nc.close();
    throw error;
  }

  let server = { version: 'unknown', maxPayload: 0 };
  let status: BusStatus = 'connected';
  const listeners = new Set<(status: BusStatus) => void>();
  const denied = new Set<(subject: string) => void>();
  if (options.onStatus) listeners.add(options.onStatus);

  function change(next: BusStatus): void {
    if (status === next || status === 'closed') return;
    status = next;
    log.info({ status }, 'bus');
    for (const listener of listeners) listener(next);
  }

  async function follow(): Promise<void> {
    for await (const event of nc.status()) {
      if (event.type === 'disconnect') change('disconnected');
      else if (event.type === 'reconnect') change('connected');
      else if (event.type === 'close') change('closed');
      else if (event.type === 'slowConsumer') log.warn({}, 'bus: a subscription is slow');
      else if (event.type === 'error') {
        log.warn({ error: event.error.message }, 'bus: the server refused something');
        if (
          event.error instanceof errors.PermissionViolationError &&
          event.error.operation === 'publish'
        ) {
          for (const listener of denied) listener(event.error.subject);
        }
      }
    }
  }
  follow().catch((error: unknown) => log.warn({ error: String(error) }, 'bus: status'));
  nc.closed().then(
    () => change('closed'),
    () => change('closed'),
  );

  const link: Link = {
    nc,
    js: jetstream(nc, { timeout: BUS_TIMES.apiTimeoutMs }),
    // checkAPI asks for $JS.API.INFO, a right that nobody here has.
    jsm: await jetstreamManager(nc, { checkAPI: false, timeout: BUS_TIMES.apiTimeoutMs }),
    user,
    instance,
    log,
    server() {
      if (nc.info) server = { version: nc.info.version, maxPayload: nc.info.max_payload };
      return server;
    },
    status: () => status,
    onStatus: (fn) => register(listeners, fn),
    onDenied: (fn) => register(denied, fn),
  };
  link.server();
  return link;
}

async function connectFirst(options: ConnectOptions, user: string): Promise<NatsConnection> {
  const authenticator = nkeyOf(options.seed);
  const deadline = Date.now() + (options.firstConnectMs ?? BUS_TIMES.firstConnectMs);
  for (;;) {
    try {
      return await connect({
        servers: options.url.split(',').map((url) => url.trim()),
        name: options.name,
        authenticator,
        inboxPrefix: inboxPrefix(user),
        maxReconnectAttempts: -1,
        reconnectTimeWait: BUS_TIMES.reconnectWaitMs,
        reconnectJitter: BUS_TIMES.reconnectJitterMs,
        reconnectJitterTLS: BUS_TIMES.reconnectJitterMs,
        pingInterval: BUS_TIMES.pingIntervalMs,
        maxPingOut: BUS_TIMES.maxPingsOut,
        timeout: BUS_TIMES.apiTimeoutMs,
        // Two equal refusals in a row would close the connection for good, and a reload of the
        // server's users can look like that.
        ignoreAuthErrorAbort: true,
      });
    } catch (cause) {
      // A server that is busy also gives up on who was slow to answer its challenge.
      const refused = cause instanceof errors.AuthorizationError && !/timeout/i.test(cause.message);
      if (refused || Date.now() >= deadline) {
        const message = refused
          ? 'the nats-server does not know this user or key'
          : 'no connection to the nats-server';
        throw new BusError('CONNECT_FAILED', message, { details: { user }, cause });
      }
      await wait(BUS_TIMES.reconnectWaitMs);
    }
  }
}

function checked(value: string, option: string): string {
  try {
    return nodeName(value);
  } catch (cause) {
    throw new BusError('OPTION_INVALID', `${option} is not a node name`, { cause });
  }
}

function register<T>(set: Set<T>, entry: T): () => void {
  set.add(entry);
  return () => {
    set.delete(entry);
  };
}
