import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLogger, createMetrics } from '@remit/service-kit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createExternal, type ExternalQuestion } from './external.ts';

// A decision point of the organisation, over real HTTP, well and badly behaved.

let server: Server;
let url: string;
let answer: (response: ServerResponse, request: IncomingMessage) => void;
let asked: { headers: IncomingMessage['headers']; body: unknown }[];

beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      asked.push({
        headers: request.headers,
        body: JSON.parse(Buffer.concat(chunks).toString('utf8')),
      });
      answer(response, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/access/v1/evaluation`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  asked = [];
});

const JSON_HEADERS = { 'content-type': 'application/json' };
const say = (body: string, headers: Record<string, string> = JSON_HEADERS, status = 200) => {
  answer = (response) => response.writeHead(status, headers).end(body);
};
const question: ExternalQuestion = {
  id: '01900000-0000-7000-8000-000000000000',
  tenant: 'acme',
  user: 'alice',
  actors: ['procurement-agent'],
  client: 'procurement-agent',
  audience: 'https://erp.example',
  task: { id: 'task_A', type: 'supplier-risk-summary' },
  operation: { action: 'orders.create', resource: 'erp/orders/7', args: { amount: 5 } },
};
const parts = () => ({
  log: createLogger({ service: 'pdp', instance: 'test', level: 'fatal' }),
  metrics: createMetrics({ service: 'pdp', version: '0' }),
});
const ask = (config: object = {}) =>
  createExternal({
    tenants: { acme: { url, insecure: 'loopback', timeout_ms: 300, ...config } },
    ...parts(),
  }).ask(question);

describe('an outside decision point', () => {
  it('allows with a literal true, and is told who wants what', async () => {
    say('{"decision":true,"context":{"note":"fine"},"more":1}', {
      'content-type': 'application/json; charset=utf-8',
    });
    expect(await ask({ headers: { authorization: 'Bearer k' } })).toBe('permitted');
    expect(asked).toMatchObject([
      {
        headers: { authorization: 'Bearer k', 'x-request-id': question.id },
        body: {
          subject: { type: 'user', id: 'alice' },
          action: { name: 'orders.create', properties: { amount: 5 } },
          resource: { type: 'erp', id: 'orders/7' },
          context: {
            tenant: 'acme',
            actors: ['procurement-agent'],
            task: question.task,
            audience: question.audience,
          },
        },
      },
    ]);
  });

  it('refuses with false', async () => {
    say('{"decision":false}');
    expect(await ask()).toBe('external_forbid');
  });

  // Row 47. Each is an allow to somebody who looks at less of the answer.
  it('refuses with anything else that it says', async () => {
    const bodies = [
      '',
      '{}',
      'null',
      'true',
      '"true"',
      '[true]',
      '[{"decision":true}]',
      '{"decision":"true"}',
      '{"decision":1}',
      '{"decision":null}',
      '{"Decision":true}',
      '{"decision":[true]}',
      '{"decision":false,"decision":true}',
      '{"decision":true',
      '{"decision":true}{"decision":true}',
      '{"__proto__":{"decision":true}}',
      '{"evaluations":[{"decision":true}]}',
      '{"decision":true,"context":{"obligations":[{"id":"x","type":"step-up"}]}}',
      '{"decision":true,"context":{"obligations":"all"}}',
      `{"decision":true,"x":"${'x'.repeat(70_000)}"}`,
    ];
    for (const body of bodies) {
      say(body);
      expect(await ask(), body.slice(0, 60)).toBe('external_unavailable');
    }
    for (const headers of [
      { 'content-type': 'text/html' },
      { 'content-type': 'application/jsonp' },
    ]) {
      say('{"decision":true}', headers);
      expect(await ask(), headers['content-type']).toBe('external_unavailable');
    }
    for (const status of [201, 204, 206, 400, 401, 403, 404, 429, 500, 503]) {
      say(status === 204 ? '' : '{"decision":true}', JSON_HEADERS, status);
      expect(await ask(), String(status)).toBe('external_unavailable');
    }
    say('\ufffd', JSON_HEADERS);
    answer = (response) =>
      response
        .writeHead(200, JSON_HEADERS)
        .end(Buffer.from('{"decision":true,"x":"\xff"}', 'latin1'));
    expect(await ask()).toBe('external_unavailable');
  });

  it('refuses when it sends elsewhere, and the key goes nowhere else', async () => {
    answer = (response, request) => {
      if (request.url === '/true') response.writeHead(200, JSON_HEADERS).end('{"decision":true}');
      else response.writeHead(307, { location: '/true' }).end();
    };
    expect(await ask({ headers: { authorization: 'Bearer k' } })).toBe('external_unavailable');
    expect(asked).toHaveLength(1);
  });

  it('refuses when it is slow, stops half-way, never ends, or is not there', async () => {
    const cases: (typeof answer)[] = [
      () => undefined,
      (response) => void response.writeHead(200, JSON_HEADERS).write('{"decision":'),
      (response) => {
        response.writeHead(200, JSON_HEADERS).write('{"decision":true}');
        response.destroy();
      },
      (response) => response.socket?.destroy(),
      (response) => {
        response.writeHead(200, JSON_HEADERS);
        const more = () => {
          while (!response.destroyed && response.write(' '.repeat(16_384)));
          if (!response.destroyed) response.once('drain', more);
        };
        more();
      },
    ];
    for (const [n, one] of cases.entries()) {
      answer = one;
      expect(await ask(), String(n)).toBe('external_unavailable');
    }
    expect(await ask({ url: 'http://127.0.0.1:1/x' })).toBe('external_unavailable');
  });

  it('has an https address, or one of this machine where that is asked for', () => {
    const open = (config: object) =>
      createExternal({ tenants: { acme: { url, ...config } }, ...parts() });
    for (const config of [
      {},
      { url: 'http://pdp.example/x', insecure: 'loopback' },
      { url: 'http://127.0.0.1.example/x', insecure: 'loopback' },
      { url: 'https://user@pdp.example/x' },
      { url: 'file:///etc/passwd', insecure: 'loopback' },
      { url: 'nothing' },
    ])
      expect(() => open(config), JSON.stringify(config)).toThrow(
        expect.objectContaining({ code: 'EXTERNAL_CONFIG_INVALID' }),
      );
    expect(open({ url: 'https://pdp.example/x' }).has('acme')).toBe(true);
    expect(open({ url: 'https://pdp.example/x' }).has('globex')).toBe(false);
  });

  it('that a tenant does not have allows nobody', async () => {
    const external = createExternal({ tenants: {}, ...parts() });
    expect(await external.ask(question)).toBe('external_unavailable');
  });
});
