import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { PepError } from './error.ts';
import type { Allowed, Pep, Refused } from './pep.ts';

/** What a guarded route does, in the words of the capability model. Read after the body is parsed. */
export type RemitRoute = {
  action: string;
  resource: (request: FastifyRequest) => string;
  /** All arguments that the tool will use. They are copied, checked and frozen. */
  args: (request: FastifyRequest) => unknown;
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

const decisions = new WeakMap<FastifyRequest, { call: Allowed; startedAt: number }>();

/**
 * Guards the routes of a Fastify server with a PEP. Every route says with `config.remit` what it
 * does, or is `public`; a route that says nothing is refused when it is registered. The handler
 * finds the decision and the frozen operation in `request.remit`.
 * Runs in `preHandler`, so after parsing and schema validation and before the handler.
 */
export const remit = fp<{ pep: Pep }>(
  async (app: FastifyInstance, { pep }) => {
    const origin = new URL(pep.audience).origin;

    app.decorateRequest('remit', {
      getter(this: FastifyRequest) {
        const decided = decisions.get(this);
        if (!decided) throw new PepError('CONFIG_INVALID', 'this call was not decided by the PEP');
        return decided.call;
      },
    });

    app.addHook('onRoute', (route) => {
      if (!route.config?.remit) {
        throw new PepError(
          'CONFIG_INVALID',
          `${String(route.method)} ${route.url} says neither what it does nor that it is public`,
          {
            route: route.url,
          },
        );
      }
    });

    app.addHook('preHandler', async (request, reply) => {
      const route = request.routeOptions.config.remit;
      if (route === 'public') return undefined;
      // An unknown path has no route and ends in the 404 handler, which does nothing.
      if (!route) return reply.callNotFound();
      const startedAt = performance.now();
      const decided = await pep.decide(
        {
          authorization: single(request, 'authorization'),
          proof: single(request, 'dpop'),
          method: request.method,
          // Joined as text: `new URL('//evil.example/x', origin)` would change the host.
          url: origin + request.raw.url,
          source: request.ip,
        },
        { action: route.action, resource: route.resource(request), args: route.args(request) },
      );
      reply.header('remit-decision', decided.id);
      if (!decided.allow) return refuse(reply, decided);
      decisions.set(request, { call: decided, startedAt });
      return undefined;
    });

    app.addHook('onResponse', async (request, reply) => {
      const decided = decisions.get(request);
      if (!decided) return;
      const outcome = reply.statusCode < 400 ? 'ok' : 'failed';
      await pep.finished(decided.call, outcome, performance.now() - decided.startedAt);
    });
  },
  { name: 'remit-pep', fastify: '5.x' },
);

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
    });
}

/** A header as it was sent: Node keeps the first of two `authorization` headers in silence. */
function single(request: FastifyRequest, name: string): string | string[] | undefined {
  const values = request.raw.headersDistinct[name];
  return values === undefined || values.length > 1 ? values : values[0];
}
