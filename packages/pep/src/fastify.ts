import type { Readable } from 'node:stream';
import type { Signals } from '@remit/contracts';
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import { createBodies } from './body.ts';
import type { Allowed, Refused } from './enforce.ts';
import { PepError } from './error.ts';
import { askedOf } from './guard.ts';
import type { ResourceMetadata } from './metadata.ts';
import type { Pep } from './pep.ts';

/** What a guarded route does, in the words of the capability model. Read after the body is parsed. */
export type RemitRoute = {
  action: string;
  resource: (request: FastifyRequest) => string;
  /** All arguments that the tool will use. They are copied, checked and frozen. */
  args: (request: FastifyRequest) => unknown;
  /** Whether the proof must be for the bytes of the body (`bd`). Default: what the plugin says. */
  bindBody?: boolean;
  /** What the tool knows of the call that guardrails may read: risk, sign-in, volume. */
  signals?: (request: FastifyRequest) => Signals;
};

export type RemitPluginOptions = {
  pep: Pep;
  /**
   * The base URL that callers see, without a slash at its end; proofs are for URLs below it. Default:
   * the origin of the audience. Give it where a proxy answers for another origin or takes a prefix off
   * the path. `Host`, `Forwarded` and `X-Forwarded-*` are never believed.
   */
  publicUrl?: string;
  /** Whether proofs must be for the body of their call, so that nobody on its way rewrites it. Default false. */
  bindBody?: boolean;
};

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How this route is guarded. A route without it is refused; `public` opens it to everybody. */
    remit?: RemitRoute | 'public';
  }
  interface FastifyRequest {
    /** The decision that allowed this call. Reading it on a public route throws. */
    remit: Allowed;
  }
}

type Decided = { call: Allowed; startedAt: number; finished: boolean };
const decisions = new WeakMap<FastifyRequest, Decided>();

/**
 * Guards the routes of a Fastify server with a PEP. Every route says with `config.remit` what it
 * does, or is `public`; a route that says nothing is refused when it is registered, and so is this
 * plugin after a route: what an earlier plugin registered would not be guarded. The handler
 * finds the decision and the frozen operation in `request.remit`.
 * Runs in `preHandler`, so after parsing and schema validation and before the handler. Serves the
 * protected resource metadata (RFC 9728), which refusals name, to everybody.
 * Throws PepError `CONFIG_INVALID`.
 */
export const remit = fp<RemitPluginOptions>(
  async (app: FastifyInstance, { pep, publicUrl, bindBody = false }) => {
    const base = readBase(publicUrl ?? originOf(pep.audience));
    const bodies = createBodies();
    const bindsBody = ({ routeOptions: { config } }: FastifyRequest) =>
      typeof config.remit === 'object' && (config.remit.bindBody ?? bindBody);
    // Hooks don't reach into plugins that were registered before them.
    if (app.printRoutes() !== NO_ROUTES) {
      throw new PepError('CONFIG_INVALID', 'register the PEP before the first route');
    }

    app.decorateRequest('remit', {
      getter(this: FastifyRequest) {
        const decided = decisions.get(this);
        if (!decided) throw new PepError('CONFIG_INVALID', 'this call was not decided by the PEP');
        return decided.call;
      },
    });

    app.addHook('onRoute', (route) => checkRoute(route));

    if (pep.metadata) serveMetadata(app, pep.metadata);

    app.addHook('preParsing', async (request, _reply, payload) =>
      bindsBody(request) ? bodies.keep(request, payload as Readable) : payload,
    );

    app.addHook('preHandler', async (request, reply) => {
      const route = request.routeOptions.config.remit;
      if (route === 'public') return undefined;
      // An unknown path has no route and ends in the 404 handler, which does nothing.
      if (!route) return reply.callNotFound();
      const startedAt = performance.now();
      const { asked, cause } = askedOf(route, request);
      if (cause !== undefined) request.log.warn({ err: cause }, 'the call could not be read');
      const decided = await pep.decide(
        {
          authorization: single(request, 'authorization'),
          proof: single(request, 'dpop'),
          method: request.method,
          // Joined as text: `new URL('//evil.example/x', base)` would change the host. A target in
          // another form than a path names a host itself, and no proof fits it.
          url: request.originalUrl.startsWith('/') ? base + request.originalUrl : '',
          body: bindsBody(request) ? bodies.of(request) : undefined,
          source: request.ip,
          ...(route.signals ? { signals: route.signals(request) } : {}),
        },
        asked,
      );
      reply.header('remit-decision', decided.id);
      if (decided.nonce !== undefined) {
        reply.header('dpop-nonce', decided.nonce).header('cache-control', 'no-store');
      }
      if (!decided.allow) return refuse(reply, decided);
      const call: Decided = { call: decided, startedAt, finished: false };
      decisions.set(request, call);
      // `finish` never comes when the caller hangs up; then the end is known at `close` or `onSend`.
      reply.raw.once('close', () => {
        if (reply.sent) void finish(pep, call, reply);
      });
      return undefined;
    });

    app.addHook('onSend', async (request, reply) => {
      const decided = decisions.get(request);
      if (decided && reply.raw.destroyed) await finish(pep, decided, reply);
    });

    app.addHook('onResponse', async (request, reply) => {
      const decided = decisions.get(request);
      if (decided) await finish(pep, decided, reply);
    });
  },
  { name: 'remit-pep', fastify: '5.x' },
);

const NO_ROUTES = '(empty tree)';

function originOf(audience: string): string {
  const url = URL.parse(audience);
  if (url && url.origin !== 'null') return url.origin;
  throw new PepError('CONFIG_INVALID', 'the audience is no URL, so publicUrl has to be given', {
    audience,
  });
}

function readBase(text: string): string {
  const base = text.endsWith('/') ? text.slice(0, -1) : text;
  if (/^https?:\/\/[^/?#@\s\\]+(?:\/[^/?#\s\\]+)*$/.test(base) && URL.canParse(base)) return base;
  throw new PepError('CONFIG_INVALID', 'publicUrl is not an absolute http(s) URL without query', {
    publicUrl: text,
  });
}

function serveMetadata(app: FastifyInstance, { path, document }: ResourceMetadata): void {
  // What else may stand in a path would be a pattern to the router.
  if (!/^[\w./~-]+$/.test(path)) {
    throw new PepError(
      'CONFIG_INVALID',
      'the metadata has a path that cannot be a route: serve it yourself, with metadata: false',
      { path },
    );
  }
  app.get(path, { config: { remit: 'public' } }, (_request, reply) =>
    reply.header('cache-control', 'public, max-age=300').type('application/json').send(document),
  );
}

function checkRoute(route: RouteOptions): void {
  const spec: unknown = route.config?.remit;
  if (spec === 'public') return;
  const name = `${String(route.method)} ${route.url}`;
  if (typeof spec !== 'object' || spec === null) {
    throw new PepError(
      'CONFIG_INVALID',
      `${name} says neither what it does nor that it is public`,
      { route: route.url },
    );
  }
  const { action, resource, args, bindBody } = spec as Partial<RemitRoute>;
  if (bindBody !== undefined && typeof bindBody !== 'boolean') {
    throw new PepError(
      'CONFIG_INVALID',
      `${name} says bindBody with something else than a boolean`,
    );
  }
  if (typeof action !== 'string' || typeof resource !== 'function' || typeof args !== 'function') {
    throw new PepError('CONFIG_INVALID', `${name} needs an action, a resource and args`, {
      route: route.url,
    });
  }
}

/** Records once how the call ended, by the status that the caller got or would have got. */
async function finish(pep: Pep, decided: Decided, reply: FastifyReply): Promise<void> {
  if (decided.finished) return;
  decided.finished = true;
  const outcome = reply.statusCode < 400 ? 'ok' : 'failed';
  await pep.finished(decided.call, outcome, performance.now() - decided.startedAt);
}

/** RFC 9457, with what the agent may know: a kind, the dimension, the decision's id. */
function refuse(reply: FastifyReply, refused: Refused): FastifyReply {
  if (refused.challenge) reply.header('www-authenticate', refused.challenge);
  // Trying again helps nobody whose use is unknown: the same token is refused for its life.
  if (refused.status === 503 && refused.reason !== 'single_use_unavailable') {
    reply.header('retry-after', '1');
  }
  return reply
    .code(refused.status)
    .header('cache-control', 'no-store')
    .type('application/problem+json')
    .send({
      type: `urn:remit:reason:${refused.reason}`,
      title: refused.explanation,
      status: refused.status,
      code: refused.reason,
      decision: refused.id,
      ...(refused.dimension ? { dimension: refused.dimension } : {}),
      ...(refused.remedies ? { remedies: refused.remedies } : {}),
    });
}

/** A header as it was sent: Node keeps the first of two `authorization` headers in silence. */
function single(request: FastifyRequest, name: string): string | string[] | undefined {
  const { rawHeaders } = request.raw;
  const values = rawHeaders.filter(
    (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name,
  );
  return values.length > 1 ? values : values[0];
}
