import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { closed } from '@remit/contracts';
import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { Type } from 'typebox';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wireError } from '../errors.ts';
import { createHealth } from '../process/health.ts';
import { createMetrics } from '../process/metrics.ts';
import { createHttpApp, formatErrors } from './app.ts';
import { isPlainTarget, tenantOf, tenantParam } from './routing.ts';

const log = pino({ level: 'silent' });

function makeApp(): FastifyInstance {
  const app = createHttpApp({
    log,
    metrics: createMetrics({ service: 'test', version: '0.0.0' }),
    health: createHealth({ log }),
    publicUrl: 'http://service.test',
  });
  const params = closed({ tenant: tenantParam });
  app.post(
    '/t/:tenant/things',
    {
      schema: { params, body: closed({ n: Type.Integer(), deep: Type.Optional(Type.Unknown()) }) },
    },
    async (request) => ({ tenant: tenantOf(request), got: request.body }),
  );
  app.get(
    '/t/:tenant/things',
    {
      schema: {
        params,
        querystring: closed({
          limit: Type.Optional(Type.Integer({ minimum: 1 })),
          all: Type.Optional(Type.Boolean()),
          name: Type.Optional(Type.String()),
        }),
      },
    },
    async (request) => request.query,
  );
  app.post(
    '/form',
    {
      schema: {
        body: closed({ a: Type.String(), audience: Type.Optional(Type.Array(Type.String())) }),
      },
      config: { consumes: 'application/x-www-form-urlencoded', repeatable: ['audience'] },
    },
    async (request) => request.body,
  );
  app.post('/empty', async () => ({ done: true }));
  app.get('/broken', async () => {
    throw new Error('the password is hunter2');
  });
  app.register(async (scope) => {
    formatErrors(scope, 'oauth');
    scope.get('/oauth', async () => {
      throw wireError('INVALID_TARGET');
    });
  });
  app.register(async (scope) => {
    formatErrors(scope, 'authzen');
    scope.get('/authzen', async () => {
      throw wireError('UNAVAILABLE');
    });
  });
  return app;
}

const app = makeApp();
beforeAll(() => app.ready());
afterAll(() => app.close());

const json = { 'content-type': 'application/json' };
const form = { 'content-type': 'application/x-www-form-urlencoded' };

function postThing(payload: string, headers: Record<string, string> = json) {
  return app.inject({ method: 'POST', url: '/t/acme/things', headers, payload });
}

describe('a JSON body', () => {
  it('reaches the handler when it follows the schema', async () => {
    const answer = await postThing('{"n":1}');
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toEqual({ tenant: 'acme', got: { n: 1 } });
  });

  // Red when the parser is Fastify's own, or Ajv may coerce, strip or fill in.
  it.each([
    ['a duplicate name', '{"n":1,"n":2}', 'The body gives a member name twice.'],
    ['an unknown field', '{"n":1,"x":2}', 'body must NOT have additional properties'],
    ['text in place of a number', '{"n":"1"}', 'body/n must be integer'],
    ['a missing field', '{}', "body must have required property 'n'"],
    ['an own __proto__', '{"n":1,"__proto__":{}}', 'The body is not acceptable JSON.'],
    ['no JSON', '{"n":', 'The body is not acceptable JSON.'],
    ['an array', '[]', 'body must be object'],
    ['null', 'null', 'body must be object'],
    ['a byte order mark', '\ufeff{"n":1}', 'The body is not acceptable JSON.'],
    [
      'deep nesting',
      `{"n":1,"deep":${'['.repeat(40)}${']'.repeat(40)}}`,
      'The body is nested too deep.',
    ],
  ])('is refused with %s', async (_, payload, detail) => {
    const answer = await postThing(payload);
    expect(answer.statusCode).toBe(400);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.json()).toMatchObject({
      type: 'urn:remit:error:INVALID_REQUEST',
      title: 'The request is not well-formed.',
      status: 400,
      code: 'INVALID_REQUEST',
      detail,
    });
  });

  it('is refused when it is not UTF-8', async () => {
    const payload = Buffer.from([0x7b, 0xff, 0x7d]);
    const answer = await app.inject({
      method: 'POST',
      url: '/t/acme/things',
      headers: json,
      payload,
    });
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ detail: 'The body is not UTF-8.' });
  });

  it('is refused over 64 KiB', async () => {
    const answer = await postThing(JSON.stringify({ n: 1, deep: 'x'.repeat(70_000) }));
    expect(answer.statusCode).toBe(413);
    expect(answer.json()).toMatchObject({ code: 'PAYLOAD_TOO_LARGE' });
  });

  it.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['application/json; charset=latin1'],
    ['application/jsonx'],
    ['application/json, text/plain'],
    ['application/merge-patch+json'],
    [''],
  ])('is refused as %j', async (type) => {
    const answer = await postThing('{"n":1}', { 'content-type': type });
    expect(answer.statusCode).toBe(415);
    expect(answer.json()).toMatchObject({ code: 'UNSUPPORTED_MEDIA_TYPE' });
  });

  it('is taken with charset=utf-8 and refused when it is compressed or absent', async () => {
    expect(
      (await postThing('{"n":1}', { 'content-type': 'Application/JSON; charset=UTF-8' }))
        .statusCode,
    ).toBe(200);
    expect((await postThing('{"n":1}', { ...json, 'content-encoding': 'gzip' })).statusCode).toBe(
      415,
    );
    const absent = await app.inject({ method: 'POST', url: '/t/acme/things', headers: json });
    expect(absent.json()).toMatchObject({ status: 400, detail: 'This route needs a body.' });
  });
});

describe('a form body', () => {
  it('keeps the order of repeatable names', async () => {
    const answer = await app.inject({
      method: 'POST',
      url: '/form',
      headers: form,
      payload: 'a=1+2%26&audience=x&audience=y',
    });
    expect(answer.json()).toEqual({ a: '1 2&', audience: ['x', 'y'] });
  });

  it.each([
    ['a repeated name', 'a=1&a=2', 'The form gives a name twice.'],
    ['__proto__', 'a=1&__proto__=2', 'The form has a name that is not allowed.'],
    ['a bad escape', 'a=%zz', 'The form is malformed.'],
    ['an unencoded byte', 'a=\u00e4', 'The form is malformed.'],
    ['no equals sign', 'a', 'The form is malformed.'],
    ['an unknown name', 'a=1&b=2', 'body must NOT have additional properties'],
  ])('is refused with %s', async (_, payload, detail) => {
    const answer = await app.inject({ method: 'POST', url: '/form', headers: form, payload });
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: 'INVALID_REQUEST', detail });
  });
});

describe('a query', () => {
  it('is converted where an integer or boolean is declared', async () => {
    const answer = await app.inject('/t/acme/things?limit=5&all=true&name=5');
    expect(answer.json()).toEqual({ limit: 5, all: true, name: '5' });
  });

  it.each([
    'limit=5&limit=6',
    'limit=0x5',
    'limit=+5',
    'limit=%205',
    'limit=',
    'limit=1e1',
    'all=1',
    'x=1',
    '__proto__=1',
    'limit=0',
  ])('is refused as %s', async (query) => {
    const answer = await app.inject(`/t/acme/things?${query}`);
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: 'INVALID_REQUEST' });
  });

  it('is refused on a route that declares none', async () => {
    expect((await app.inject('/livez?x=1')).statusCode).toBe(400);
  });
});

describe('a request without a body', () => {
  it('may announce a content type, but sends nothing', async () => {
    const answer = await app.inject({ method: 'POST', url: '/empty', headers: json });
    expect(answer.json()).toEqual({ done: true });
    const refused = await app.inject({
      method: 'POST',
      url: '/empty',
      headers: json,
      payload: '{}',
    });
    expect(refused.json()).toMatchObject({ status: 400, detail: 'This route takes no body.' });
    const got = await app.inject({ method: 'GET', url: '/livez', headers: json, payload: '{}' });
    expect(got.statusCode).toBe(400);
  });
});

describe('errors', () => {
  it('never tell what failed inside, only an id', async () => {
    const answer = await app.inject('/broken');
    expect(answer.statusCode).toBe(500);
    expect(answer.body).not.toContain('hunter2');
    expect(answer.json()).toMatchObject({ code: 'INTERNAL', detail: 'Something failed inside.' });
    expect(answer.json().instance).toMatch(/^urn:uuid:[0-9a-f-]{36}$/);
  });

  it('are said as OAuth and as AuthZEN where a scope asks for it', async () => {
    const oauth = await app.inject('/oauth');
    expect(oauth.statusCode).toBe(400);
    expect(oauth.json()).toEqual({
      error: 'invalid_target',
      error_description: 'The target is unknown or not allowed.',
    });
    const authzen = await app.inject('/authzen');
    expect(authzen.statusCode).toBe(503);
    expect(authzen.headers['retry-after']).toBe('1');
    expect(authzen.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(authzen.body).toBe('A service that this needs does not answer. Try again.');
  });

  it('are 404 for an unknown path and 405 with Allow for a known one', async () => {
    expect((await app.inject('/nothing')).json()).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    const answer = await app.inject({ method: 'DELETE', url: '/t/acme/things' });
    expect(answer.statusCode).toBe(405);
    expect(answer.headers.allow).toBe('GET, POST');
    expect(answer.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED' });
  });

  it('are 404 for a tenant that cannot be one', async () => {
    for (const tenant of ['ACME', '-a', 'a.b', '*']) {
      const answer = await app.inject({
        method: 'POST',
        url: `/t/${tenant}/things`,
        headers: json,
        payload: '{"n":1}',
      });
      expect(answer.json()).toMatchObject({ status: 404, code: 'TENANT_UNKNOWN' });
    }
  });
});

describe('answers', () => {
  it('echo a well-formed X-Request-ID and replace another', async () => {
    const echoed = await app.inject({ url: '/livez', headers: { 'x-request-id': 'req:A-1.b_2' } });
    expect(echoed.headers['x-request-id']).toBe('req:A-1.b_2');
    for (const bad of ['a b', '<x>', 'x'.repeat(129), '-x']) {
      const answer = await app.inject({ url: '/livez', headers: { 'x-request-id': bad } });
      expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it('carry the security headers and no CORS, errors too', async () => {
    for (const url of ['/livez', '/nothing', '/broken']) {
      const { headers } = await app.inject({ url, headers: { origin: 'https://evil.test' } });
      expect(headers['cache-control']).toBe('no-store');
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['content-security-policy']).toBe("default-src 'none'; frame-ancestors 'none'");
      expect(headers['access-control-allow-origin']).toBeUndefined();
    }
  });
});

describe('paths', () => {
  it('have one reading; every other spelling is refused before a handler', async () => {
    // inject() normalises targets, so these go over a socket.
    const port = await listening();
    const statuses: Record<string, number> = {};
    const targets = [
      '/livez',
      '/livez/',
      '//livez',
      '/LIVEZ',
      '/%6civez',
      '/x/../livez',
      '/./livez',
      '/livez;a=1',
      '/livez%00',
      'http://service.test/livez',
      '/t/a%2Fb/things',
      '/t/a%5cb/things',
      '*',
    ];
    for (const target of targets) statuses[target] = await rawStatus(port, target);
    expect(statuses).toEqual({
      '/livez': 200,
      '/livez/': 400,
      '//livez': 400,
      '/LIVEZ': 404,
      '/%6civez': 400,
      '/x/../livez': 400,
      '/./livez': 400,
      '/livez;a=1': 400,
      '/livez%00': 400,
      'http://service.test/livez': 400,
      '/t/a%2Fb/things': 400,
      '/t/a%5cb/things': 400,
      '*': 400,
    });
  });

  it('are plain only when decoding changes nothing that routing reads', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 30 }), (path) => {
        fc.pre(isPlainTarget(`/${path}`));
        const before = path.split('?', 1)[0] ?? '';
        expect(decodeURIComponent(before).split('/').length).toBe(before.split('/').length);
      }),
    );
  });
});

describe('bytes that are not one HTTP request', () => {
  it.each([
    [
      'two lengths',
      'POST /empty HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}',
      400,
    ],
    [
      'length and chunks',
      'POST /empty HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['a bare line feed in a header', 'GET /livez HTTP/1.1\r\nhost: x\r\na: b\nc: d\r\n\r\n', 400],
    ['no host', 'GET /livez HTTP/1.1\r\n\r\n', 400],
    ['no HTTP at all', 'hello\r\n\r\n', 400],
    ['endless headers', `GET /livez HTTP/1.1\r\nhost: x\r\na: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
  ])('are refused, and the connection ends: %s', async (_, bytes, status) => {
    const port = await listening();
    const text = await raw(port, bytes);
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });
});

describe('an app', () => {
  it('refuses to be built with a schema that is not closed', () => {
    const open = makeApp();
    expect(() =>
      open.post('/open', { schema: { body: Type.Object({ a: Type.String() }) } }, async () => ''),
    ).toThrow('POST /open: the schema of its body is not closed');
  });
});

async function listening(): Promise<number> {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 });
  return (app.server.address() as AddressInfo).port;
}

async function rawStatus(port: number, target: string): Promise<number> {
  const request = `GET ${target} HTTP/1.1\r\nhost: service.test\r\nconnection: close\r\n\r\n`;
  return Number((await raw(port, request)).split(' ')[1]);
}

/** Writes bytes to a connection of their own; everything that came back until its end. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}
