import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { AUDIENCE, checkFixture } from './check.testing.ts';
import { type RemitPluginOptions, remit } from './fastify.ts';
import { resourceMetadata } from './metadata.ts';
import { createNonces } from './nonces.ts';

type Fixture = Awaited<ReturnType<typeof checkFixture>>;

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of cleanup.splice(0)) await close();
});

const supplier = {
  action: 'suppliers.read',
  resource: (request: FastifyRequest) => `erp/suppliers/${(request.params as { id: string }).id}`,
  args: () => ({}),
};
const order = {
  action: 'orders.create',
  resource: () => 'erp/orders',
  args: (request: FastifyRequest) => request.body ?? {},
};

async function tool(
  f: Fixture,
  options: Omit<RemitPluginOptions, 'pep'> & { prefix?: string } = {},
) {
  f.start();
  const { prefix = '', ...plugin } = options;
  const app = fastify();
  const ran: unknown[] = [];
  await app.register(remit, { pep: f.pep, ...plugin });
  app.get(`${prefix}/suppliers/:id`, { config: { remit: supplier } }, async () => ran.push('read'));
  const create = async (request: FastifyRequest) => ran.push(request.remit.operation.args);
  app.post(`${prefix}/orders`, { config: { remit: { ...order, bindBody: true } } }, create);
  app.delete(`${prefix}/orders`, { config: { remit: { ...order, bindBody: true } } }, create);
  app.post(`${prefix}/loose`, { config: { remit: { ...order, bindBody: false } } }, create);
  app.addContentTypeParser('text/unread', (_request, _payload, done) => done(null, { amount: 1 }));
  cleanup.push(() => app.close());
  return { app, ran };
}

/** Bytes on a connection of their own, and the status and problem code that came back. */
async function raw(app: FastifyInstance, bytes: string) {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 });
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
  });
  socket.write(bytes);
  await once(socket, 'close');
  return [Number(text.split(' ')[1]), /"code":"(\w+)"/.exec(text)?.[1]];
}

const get = (f: Fixture, target: string, proved: string, lines: string[] = []) => {
  const token = f.sign(f.claims());
  const proof = f.prove(token, { url: proved });
  return [
    `GET ${target} HTTP/1.1`,
    'connection: close',
    ...(lines.some((line) => /^host:/i.test(line)) ? [] : ['host: erp.example']),
    `authorization: DPoP ${token}`,
    `dpop: ${proof}`,
    ...lines,
    '',
    '',
  ].join('\r\n');
};

describe('the protected resource metadata', () => {
  it('is served to everybody, where challenges say it is', async () => {
    const f = await checkFixture();
    const { app } = await tool(f);
    const answer = await app.inject({ url: '/.well-known/oauth-protected-resource' });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.json()).toEqual({
      resource: AUDIENCE,
      authorization_servers: ['https://issuer.example/t/acme'],
      bearer_methods_supported: ['header'],
      authorization_details_types_supported: ['urn:remit:capability:1'],
      dpop_signing_alg_values_supported: ['ES256', 'Ed25519'],
      dpop_bound_access_tokens_required: true,
    });
    const { headers } = await app.inject({ url: '/suppliers/S-100' });
    const named = /resource_metadata="([^"]+)"/.exec(String(headers['www-authenticate']))?.[1];
    expect(named).toBe(`${AUDIENCE}/.well-known/oauth-protected-resource`);
    expect(f.records).toEqual([]);
  });

  const at = (audience: string) =>
    resourceMetadata({
      audience,
      issuer: 'https://issuer.example/t/acme',
      proofAlgorithms: ['ES256'],
      acceptBearer: true,
      description: { resource_name: 'ERP' },
    });

  it('has the well-known path inserted before the path of the audience', () => {
    const place = 'https://a.example/.well-known/oauth-protected-resource';
    for (const [audience, url] of [
      ['https://a.example', place],
      ['https://a.example/', place],
      ['https://a.example/mcp', `${place}/mcp`],
      ['https://a.example/t/x/', `${place}/t/x/`],
      ['https://A.example:8443/m', 'https://A.example:8443/.well-known/oauth-protected-resource/m'],
    ] as const) {
      expect(at(audience)).toMatchObject({ url, document: { resource: audience } });
    }
    expect(at('https://a.example')?.document).toMatchObject({
      dpop_bound_access_tokens_required: false,
      resource_name: 'ERP',
    });
    for (const none of ['urn:erp', 'https://a.example/x?y', 'https://u@a.example', 'erp', '']) {
      expect(at(none)).toBeUndefined();
    }
  });

  it('of a path that would be a pattern is not served but refused at start', async () => {
    const f = await checkFixture();
    const app = fastify();
    const odd = { ...f.pep, metadata: at('https://a.example/:id') };
    await expect(app.register(remit, { pep: odd })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});

describe('challenges', () => {
  const unauthorized = async (f: Fixture, headers: Record<string, string> = {}) => {
    const { app } = await tool(f);
    const answer = await app.inject({ url: '/suppliers/S-100', headers });
    expect(answer.statusCode).toBe(401);
    return answer.headers['www-authenticate'];
  };
  const metadata = `resource_metadata="${AUDIENCE}/.well-known/oauth-protected-resource"`;

  it('name no error where nobody presented anything, and each scheme that is taken', async () => {
    expect(await unauthorized(await checkFixture())).toBe(`DPoP algs="ES256 Ed25519", ${metadata}`);
    expect(await unauthorized(await checkFixture({ acceptBearer: true }))).toBe(
      `DPoP algs="ES256 Ed25519", ${metadata}, Bearer ${metadata}`,
    );
  });

  it('put the error to the scheme that was tried', async () => {
    const f = await checkFixture({ acceptBearer: true });
    const token = f.sign(f.claims());
    expect(await unauthorized(f, { authorization: `Bearer ${token}` })).toBe(
      `DPoP algs="ES256 Ed25519", ${metadata}, Bearer error="invalid_token", ${metadata}`,
    );
    const only = await checkFixture();
    expect(await unauthorized(only, { authorization: `Bearer ${only.sign(only.claims())}` })).toBe(
      `DPoP error="invalid_token", algs="ES256 Ed25519", ${metadata}`,
    );
  });

  it('of a nonce come with it, uncacheable; so does the answer that brings a new one', async () => {
    const f = await checkFixture({
      possession: (_bus, monotonicMs) => ({ nonces: createNonces({ monotonicMs }) }),
    });
    const { app } = await tool(f);
    const token = f.sign(f.claims());
    const call = (nonce?: string) =>
      app.inject({
        url: '/suppliers/S-100',
        headers: { authorization: `DPoP ${token}`, dpop: f.prove(token, { nonce }) },
      });
    const first = await call();
    expect(first.statusCode).toBe(401);
    expect(first.headers['www-authenticate']).toBe(
      `DPoP error="use_dpop_nonce", algs="ES256 Ed25519", ${metadata}`,
    );
    const nonce = String(first.headers['dpop-nonce']);
    const second = await call(nonce);
    expect([second.statusCode, second.headers['dpop-nonce']]).toEqual([200, undefined]);
    f.state.nowMs += 60_000;
    f.hearFeed();
    const third = await call(nonce);
    expect(third.statusCode).toBe(200);
    expect(third.headers['dpop-nonce']).toMatch(/^[\w-]{22}$/);
    expect(third.headers['dpop-nonce']).not.toBe(nonce);
    expect(third.headers['cache-control']).toBe('no-store');
  });
});

describe('the address that a proof is for', () => {
  // Red when the URL is put together from Host, Forwarded or the target.
  it('is never taken from what the call says about itself', async () => {
    const f = await checkFixture();
    const { app, ran } = await tool(f);
    const path = '/suppliers/S-100';
    for (const lines of [
      ['host: evil.example'],
      ['X-Forwarded-Host: evil.example'],
      ['X-Forwarded-Proto: https', 'Forwarded: host=evil.example;proto=https'],
      ['X-Forwarded-Prefix: /evil', 'X-Original-URL: /evil', 'X-Rewrite-URL: /evil'],
    ]) {
      expect(await raw(app, get(f, path, `https://evil.example${path}`, lines))).toEqual([
        401,
        'proof_binding',
      ]);
      expect(await raw(app, get(f, path, AUDIENCE + path, lines))).toEqual([200, undefined]);
    }
    expect(ran).toHaveLength(4);
  });

  it('is a path: a target that names a host fits no proof', async () => {
    const f = await checkFixture();
    const { app, ran } = await tool(f);
    for (const target of [
      'http://evil.example/suppliers/S-100',
      `${AUDIENCE}/suppliers/S-100`,
      '//evil.example/../suppliers/S-100',
    ]) {
      const [status] = await raw(app, get(f, target, `${AUDIENCE}/suppliers/S-100`));
      expect([401, 404]).toContain(status);
    }
    expect(ran).toEqual([]);
  });

  it('is below publicUrl, where a proxy takes a prefix off or answers for another origin', async () => {
    const f = await checkFixture();
    const { app, ran } = await tool(f, { publicUrl: 'https://api.example/erp/' });
    const path = '/suppliers/S-100';
    const proved = `https://api.example/erp${path}`;
    expect(await raw(app, get(f, path, proved))).toEqual([200, undefined]);
    for (const wrong of [AUDIENCE + path, `https://api.example${path}`, `${AUDIENCE}/erp${path}`]) {
      expect(await raw(app, get(f, path, wrong))).toEqual([401, 'proof_binding']);
    }
    expect(ran).toHaveLength(1);
  });

  it('needs a base that is one', async () => {
    const f = await checkFixture();
    for (const publicUrl of [
      'api.example',
      '/erp',
      'ftp://api.example',
      'https://api.example/?x',
      'https://api.example/#x',
      'https://me@api.example',
      'https://api.example//erp',
    ]) {
      await expect(
        fastify().register(remit, { pep: f.pep, publicUrl }),
        publicUrl,
      ).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    }
    await expect(
      fastify().register(remit, { pep: { ...f.pep, audience: 'urn:erp' } }),
    ).rejects.toThrow('publicUrl has to be given');
  });
});

describe('a route that binds the body', () => {
  const call = (
    f: Fixture,
    {
      proved,
      lines,
      body,
      method = 'POST',
      path = '/orders',
    }: {
      proved?: string;
      lines: string[];
      body: string;
      method?: string;
      path?: string;
    },
  ) => {
    const token = f.sign(f.claims());
    const proof = f.prove(token, {
      method,
      url: AUDIENCE + path,
      ...(proved === undefined ? {} : { body: Buffer.from(proved) }),
    });
    const head = [
      `${method} ${path} HTTP/1.1`,
      'host: erp.example',
      'connection: close',
      `authorization: DPoP ${token}`,
      `dpop: ${proof}`,
      ...lines,
    ];
    return `${head.join('\r\n')}\r\n\r\n${body}`;
  };
  const json = (body: string) => [
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ];

  // Red when the digest isn't compared, or is taken of the parsed body: the spaces would be lost.
  it('takes the very bytes that the proof is for and nothing else', async () => {
    const f = await checkFixture();
    const { app, ran } = await tool(f);
    const body = '{ "amount": 10 }';
    expect(await raw(app, call(f, { proved: body, lines: json(body), body }))).toEqual([
      200,
      undefined,
    ]);
    expect(ran).toEqual([{ amount: 10 }]);
    for (const came of ['{"amount":10}', '{ "amount": 11 }', '{ "amount": 10, "amount": 11 }']) {
      expect(await raw(app, call(f, { proved: body, lines: json(came), body: came }))).toEqual([
        401,
        'proof_body',
      ]);
    }
    expect(await raw(app, call(f, { lines: json(body), body }))).toEqual([401, 'proof_body']);
    expect(ran).toHaveLength(1);
    expect(f.records.filter(({ event }) => event === 'decision')).toHaveLength(1);
  });

  it('reads chunks as one body', async () => {
    const f = await checkFixture();
    const { app, ran } = await tool(f);
    const lines = ['content-type: application/json', 'transfer-encoding: chunked'];
    const body = '8\r\n{"amount\r\n5\r\n":10}\r\n0\r\n\r\n';
    expect(await raw(app, call(f, { proved: '{"amount":10}', lines, body }))).toEqual([
      200,
      undefined,
    ]);
    expect(ran).toEqual([{ amount: 10 }]);
  });

  it('has a proof for no body where none came, and one that was left unread fits nothing', async () => {
    const f = await checkFixture();
    const { app, ran } = await tool(f);
    const none = (proved: string | undefined) =>
      call(f, {
        ...(proved === undefined ? {} : { proved }),
        lines: [],
        body: '',
        method: 'DELETE',
      });
    expect((await raw(app, none('x')))[1]).toBe('proof_body');
    expect((await raw(app, none(undefined)))[1]).toBe('proof_body');
    // No argument is not what the token constrains; the body itself was taken.
    expect((await raw(app, none('')))[1]).toBe('scope_constraint');
    const unread = ['content-type: text/unread', 'content-length: 3'];
    expect((await raw(app, call(f, { proved: 'abc', lines: unread, body: 'abc' })))[1]).toBe(
      'proof_body',
    );
    expect(ran).toEqual([]);
  });

  it('is the plugin’s word unless the route has its own', async () => {
    const f = await checkFixture();
    const { app } = await tool(f, { bindBody: true });
    expect(() =>
      app.get('/odd', { config: { remit: { ...supplier, bindBody: 'yes' as never } } }, () => 1),
    ).toThrow('bindBody');
    const body = '{"amount":1}';
    expect((await raw(app, get(f, '/suppliers/S-100', `${AUDIENCE}/suppliers/S-100`)))[1]).toBe(
      'proof_body',
    );
    const loose = call(f, { lines: json(body), body, path: '/loose' });
    expect((await raw(app, loose))[0]).toBe(200);
  });
});
