import { randomUUID } from 'node:crypto';
import { closed } from '@remit/contracts';
import fastify, { type FastifyInstance, LogController } from 'fastify';
import { wireError } from '../errors.ts';
import type { Health } from '../process/health.ts';
import type { Logger } from '../process/log.ts';
import type { Metrics } from '../process/metrics.ts';
import { toWireError } from '../wire.ts';
import { answerClientError } from './client-errors.ts';
import {
  type Consumes,
  FORM_TYPE,
  JSON_TYPE,
  mediaType,
  parseFormBody,
  parseJsonBody,
} from './parsers.ts';
import { type ErrorFormat, sendError } from './problem.ts';
import { isPlainTarget, trackRoutes } from './routing.ts';
import { requireClosed, useStrictValidation } from './validation.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Names one failure in the log and in the answer. */
    errorId: string;
  }
  interface FastifyContextConfig {
    /** The one media type that the route takes; `none` when it has no body schema. */
    consumes?: Consumes;
    /** Form names that may be given several times. */
    repeatable?: readonly string[];
  }
}

export type HttpAppOptions = {
  log: Logger;
  metrics: Metrics;
  health: Health;
  publicUrl: string;
  /** Largest body, bytes; 64 KiB by default. A route may declare its own. */
  bodyLimitBytes?: number;
};

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/**
 * The HTTP side of every service: strict schemas, one content type per route, one reading of a path,
 * RFC 9457 errors, `X-Request-ID` echoed, `/livez`, `/readyz` and `/metrics`. Does not listen, does
 * not authenticate anybody and has no CORS.
 */
export function createHttpApp(options: HttpAppOptions): FastifyInstance {
  const { log, metrics, health, publicUrl, bodyLimitBytes = 65_536 } = options;
  const app = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: bodyLimitBytes,
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    exposeHeadRoutes: false,
    trustProxy: false,
    requestIdHeader: false,
    requestTimeout: 10_000,
    keepAliveTimeout: 65_000,
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
    routerOptions: {
      caseSensitive: true,
      ignoreTrailingSlash: false,
      ignoreDuplicateSlashes: false,
      maxParamLength: 256,
    },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => {
      sendError('problem', toWireError(error), request, reply);
    },
  }) as unknown as FastifyInstance;
  app.decorateRequest('errorId', '');
  useStrictValidation(app);
  addParsers(app, bodyLimitBytes);
  const routes = trackRoutes(app);
  addRouteRules(app);
  addHeaders(app, publicUrl);
  addRequestMetrics(app, metrics);
  formatErrors(app, 'problem');
  app.setNotFoundHandler((request, reply) => {
    const allowed = isPlainTarget(request.raw.url ?? '') ? routes.allowed(request.url) : [];
    if (allowed.length === 0) return sendError('problem', wireError('NOT_FOUND'), request, reply);
    const headers = { allow: allowed.join(', ') };
    return sendError('problem', wireError('METHOD_NOT_ALLOWED', { headers }), request, reply);
  });
  addOperations(app, health, metrics);
  return app;
}

/**
 * Says the errors of this scope in a format: `problem` (RFC 9457), `oauth` (RFC 6749) or `authzen`.
 * Call it inside the plugin that registers the routes. What is not a wire error is `INTERNAL` and
 * goes to the log under the id in the answer.
 */
export function formatErrors(scope: FastifyInstance, format: ErrorFormat): void {
  scope.setErrorHandler((error, request, reply) => {
    const wire = toWireError(error);
    request.errorId = randomUUID();
    const fields = { err: error, error_id: request.errorId, request_id: request.id };
    if (wire.code === 'INTERNAL') request.log.error(fields, 'a request failed inside');
    else if (wire.code === 'UNAVAILABLE')
      request.log.warn(fields, 'a request met a dependency away');
    else request.log.debug({ ...fields, code: wire.code }, 'a request was refused');
    return sendError(format, wire, request, reply);
  });
}

function addParsers(app: FastifyInstance, bodyLimitBytes: number): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(JSON_TYPE, { parseAs: 'buffer' }, (request, bytes, done) => {
    finish(done, () => {
      const limit = request.routeOptions.bodyLimit ?? bodyLimitBytes;
      return parseJsonBody(bytes as Buffer, limit);
    });
  });
  app.addContentTypeParser(FORM_TYPE, { parseAs: 'buffer' }, (request, bytes, done) => {
    const repeatable = new Set(request.routeOptions.config.repeatable ?? []);
    finish(done, () => parseFormBody(bytes as Buffer, repeatable));
  });
}

function finish(done: (error: Error | null, body?: unknown) => void, parse: () => unknown): void {
  let body: unknown;
  try {
    body = parse();
  } catch (error) {
    done(error as Error);
    return;
  }
  done(null, body);
}

/** Closed schemas at registration; content type, absent bodies and the path's form per request. */
function addRouteRules(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    requireClosed(route);
    const schema = (route.schema ?? {}) as Record<string, unknown>;
    route.schema = { querystring: closed({}), ...schema };
    route.config = {
      ...route.config,
      consumes: route.config?.consumes ?? (schema.body === undefined ? 'none' : JSON_TYPE),
    };
  });
  app.addHook('onRequest', async (request) => {
    if (!isPlainTarget(request.raw.url ?? '')) {
      throw wireError('INVALID_REQUEST', { detail: 'The request target is not in plain form.' });
    }
    if (request.is404) return;
    const { consumes } = request.routeOptions.config;
    const { headers } = request;
    const hasBody =
      headers['transfer-encoding'] !== undefined ||
      (headers['content-length'] !== undefined && headers['content-length'] !== '0');
    if (consumes === 'none') {
      if (hasBody) throw wireError('INVALID_REQUEST', { detail: 'This route takes no body.' });
      // Fastify would look for a parser of an announced type even when there is no body.
      delete headers['content-type'];
      return;
    }
    if (!hasBody) throw wireError('INVALID_REQUEST', { detail: 'This route needs a body.' });
    if (
      headers['content-encoding'] !== undefined ||
      mediaType(headers['content-type']) !== consumes
    ) {
      throw wireError('UNSUPPORTED_MEDIA_TYPE');
    }
  });
}

function addHeaders(app: FastifyInstance, publicUrl: string): void {
  const headers: Record<string, string> = {
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    ...(publicUrl.startsWith('https:')
      ? { 'strict-transport-security': 'max-age=63072000; includeSubDomains' }
      : {}),
  };
  // onSend so that answers that never reached a handler have them too
  app.addHook('onSend', async (request, reply) => {
    for (const [name, value] of Object.entries(headers)) {
      if (!reply.hasHeader(name)) void reply.header(name, value);
    }
    void reply.header('x-request-id', request.id);
  });
}

function addRequestMetrics(app: FastifyInstance, metrics: Metrics): void {
  const requests = metrics.counter(
    'remit_http_requests_total',
    'HTTP requests by route and status.',
  );
  const seconds = metrics.histogram('remit_http_request_seconds', 'Time to answer, by route.');
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown';
    const { method } = request;
    requests.add({ route, method, status: String(reply.statusCode) });
    seconds.observe(reply.elapsedTime / 1_000, { route, method });
    request.log.debug(
      {
        request_id: request.id,
        route,
        method,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 10) / 10,
      },
      'answered',
    );
  });
}

/** Probes and metrics: no tenant, no secrets, no authentication; keep them on an inner network. */
function addOperations(app: FastifyInstance, health: Health, metrics: Metrics): void {
  app.get('/livez', async () => ({ status: 'live' }));
  app.get('/readyz', async (_request, reply) => {
    const { ready, checks } = health.readiness();
    void reply.code(ready ? 200 : 503);
    return { status: ready ? 'ready' : 'not_ready', checks };
  });
  app.get('/metrics', async (_request, reply) => {
    void reply.header('content-type', 'text/plain; version=0.0.4; charset=utf-8');
    return metrics.text();
  });
}
