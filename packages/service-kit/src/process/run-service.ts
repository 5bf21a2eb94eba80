import type { Static, TObject } from 'typebox';
import { assertProduction } from '../config/base-config.ts';
import { loadConfig, redactConfig } from '../config/load-config.ts';
import { ServiceError } from '../errors.ts';
import { createLogger, type Logger } from './log.ts';

/** What a service hands to the process around it. */
export type App = {
  /** Connects consumers and listens. Resolves when the service can serve. */
  start: () => Promise<void>;
  /** Ends everything in order; see `createLifecycle`. */
  stop: () => Promise<void>;
  /** On SIGHUP: reads key files again. */
  reload?: () => Promise<void>;
};

export type RunOptions<S extends TObject> = {
  name: string;
  version: string;
  config: S;
  build: (config: Static<S>, deps: { log: Logger; instance: string }) => Promise<App>;
};

const STOP_WITHIN_MS = 10_000;
/** sysexits.h EX_CONFIG. */
const EXIT_CONFIG = 78;

/**
 * The whole of a service's `main.ts`. `--check` validates the configuration, prints it redacted and
 * ends; otherwise the service is built and started. SIGTERM and SIGINT end it in order within 10 s,
 * a second signal at once; SIGHUP reloads keys. With `REMIT_PARENT_WATCH=1` it ends when the process
 * that started it is gone. An unhandled rejection or exception is fatal: exit code 1.
 */
export async function runService<S extends TObject>(options: RunOptions<S>): Promise<void> {
  const config = readConfig(options);
  if (!config) return;
  const settings = config as { logLevel?: string; instance?: string };
  const instance = settings.instance ?? crypto.randomUUID().slice(0, 8);
  const log = createLogger({
    service: options.name,
    instance,
    level: settings.logLevel ?? 'info',
  });
  watchFatal(log);
  let app: App;
  try {
    app = await options.build(config, { log, instance });
    watchSignals(app, log);
    await app.start();
  } catch (error) {
    log.fatal({ err: error }, `${options.name} cannot start`);
    process.exit(1);
  }
  log.info({ version: options.version, pid: process.pid }, `${options.name} is started`);
}

function readConfig<S extends TObject>(options: RunOptions<S>): Static<S> | undefined {
  try {
    const { config, warnings } = loadConfig(options.config, process.env);
    assertProduction(config);
    for (const warning of warnings) process.stderr.write(`${options.name}: ${warning}\n`);
    if (!process.argv.includes('--check')) return config;
    const shown = redactConfig(options.config, config);
    process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    process.stderr.write(`${options.name}: ${error.message}\n`);
    process.exitCode = EXIT_CONFIG;
  }
  return undefined;
}

function watchFatal(log: Logger): void {
  process.on('unhandledRejection', (reason) => {
    log.fatal({ err: reason }, 'unhandled rejection');
    process.exit(1);
  });
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'uncaught exception');
    process.exit(1);
  });
}

function watchSignals(app: App, log: Logger): void {
  let stopping = false;
  let signals = 0;
  const stop = (why: string): void => {
    if (stopping) return;
    stopping = true;
    log.info({ why }, 'stopping');
    setTimeout(() => {
      log.error('did not stop in time');
      process.exit(1);
    }, STOP_WITHIN_MS).unref();
    app.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'did not stop in order');
        process.exit(1);
      },
    );
  };
  const signal = (name: string): void => {
    signals += 1;
    if (signals === 1) return stop(name);
    log.warn({ why: name }, 'told to stop twice, ending at once');
    process.exit(1);
  };
  process.on('SIGTERM', () => signal('SIGTERM'));
  process.on('SIGINT', () => signal('SIGINT'));
  process.on('SIGHUP', () => {
    app.reload?.().then(
      () => log.info('keys are read again'),
      (error: unknown) => log.error({ err: error }, 'keys could not be read again'),
    );
  });
  if (process.env.REMIT_PARENT_WATCH === '1') watchParent(() => stop('parent is gone'));
}

/** npm that is sent SIGTERM dies alone; what it started must notice by itself. */
function watchParent(gone: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    gone();
  }, 500);
  timer.unref();
}
