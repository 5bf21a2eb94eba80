import type { FastifyInstance, FastifyRequest } from 'fastify';
import { wireError } from '../errors.ts';

/** RFC 3986 `pchar` without `;`, percent-encodings in upper-case hex. */
const SEGMENT = /^(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-F]{2})+$/;
/** Encodings that another reader of the path could take for something else. */
const AMBIGUOUS = /%(?:2F|5C|00|2E|25)/;
const UNRESERVED_ENCODED = /%(?:[3][0-9]|4[1-9A-F]|5[0-9A]|6[1-9A-F]|7[0-9A]|2D|5F|7E)/;

/**
 * Whether a request target has one reading: it begins with `/`, no empty, `.` or `..` segment, no
 * encoded slash, backslash, dot, percent or NUL, nothing encoded that need not be. The router decodes
 * before it matches, so what passes here is what every proxy in front has seen.
 */
export function isPlainTarget(target: string): boolean {
  const at = target.indexOf('?');
  const path = at < 0 ? target : target.slice(0, at);
  if (path === '/') return true;
  if (!path.startsWith('/') || AMBIGUOUS.test(path) || UNRESERVED_ENCODED.test(path)) return false;
  return path
    .slice(1)
    .split('/')
    .every((segment) => SEGMENT.test(segment) && segment !== '.' && segment !== '..');
}

/** Knows which methods a path takes, for 405 in place of 404. */
export type RouteTable = {
  allowed: (target: string) => string[];
};

/** Follows the routes of an app as they are registered. */
export function trackRoutes(app: FastifyInstance): RouteTable {
  const routes: { pattern: RegExp; methods: string[] }[] = [];
  app.addHook('onRoute', (route) => {
    const methods = [route.method].flat().map(String);
    routes.push({ pattern: patternOf(route.url), methods });
  });
  return {
    allowed: (target) => {
      const path = target.split('?', 1)[0] ?? '';
      const found = routes.filter(({ pattern }) => pattern.test(path));
      return [...new Set(found.flatMap(({ methods }) => methods))].toSorted();
    },
  };
}

function patternOf(url: string): RegExp {
  const source = url
    .split('/')
    .map((segment) => {
      if (segment.startsWith(':')) return '[^/]+';
      return segment.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace('\\*', '.*');
    })
    .join('/');
  return new RegExp(`^${source}$`);
}

const TENANT = /^[a-z0-9][a-z0-9-]{0,30}$/;

/** JSON schema of the `:tenant` parameter; its form is checked by {@link tenantOf}. */
export const tenantParam = { type: 'string', minLength: 1, maxLength: 128 } as const;

/**
 * The tenant of a route below `/t/:tenant`. Checks only its form; whether it exists is the service's
 * to ask. Throws WireError `TENANT_UNKNOWN`.
 */
export function tenantOf(request: FastifyRequest): string {
  const { tenant } = request.params as { tenant?: unknown };
  if (typeof tenant !== 'string' || !TENANT.test(tenant)) throw wireError('TENANT_UNKNOWN');
  return tenant;
}
