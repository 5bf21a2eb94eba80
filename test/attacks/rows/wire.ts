import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { orderOf } from '../../../demo/steps/order.ts';
import { raw, type Stage, summaryOf } from '../stage.ts';
import { logs } from './surfaces.ts';

/** Bytes that two readers could take for different requests, large ones, and what is left lying about. */
export function wire(at: () => Stage): void {
  let stage: Stage;
  let token: string;
  beforeAll(async () => {
    stage = at();
    token = (await summaryOf(stage)).token;
  });

  const host = (url: string) => `host: ${new URL(url).host}`;
  const answers = (text: string) => text.match(/HTTP\/1\.1 \d+/g) ?? [];

  describe('one request or none', () => {
    test('row 73: lengths and chunks that disagree are not smuggled past the tool', async () => {
      const { url } = stage.world.erp;
      const hidden = `GET /suppliers/S-100 HTTP/1.1\r\n${host(url)}\r\n\r\n`;
      const before = await stage.world.erp.counts();
      for (const lines of [
        ['content-length: 6', 'transfer-encoding: chunked'],
        ['content-length: 2', 'content-length: 40'],
        ['transfer-encoding: xchunked'],
        ['transfer-encoding: chunked', 'transfer-encoding: identity'],
        ['transfer-encoding : chunked'],
        ['content-length: +2'],
        ['content-length: 0x2'],
        ['content-length: -1'],
        [' folded: x', 'content-length: 2'],
      ]) {
        const text = await raw(
          url,
          `POST /orders HTTP/1.1\r\n${host(url)}\r\ncontent-type: application/json\r\n${lines.join('\r\n')}\r\n\r\n0\r\n\r\n${hidden}`,
        );
        expect(answers(text), lines.join()).toEqual(['HTTP/1.1 400']);
      }
      expect(await stage.world.erp.counts()).toEqual(before);
    });

    test('row 73: the same at a service, where a body has one length and one encoding', async () => {
      const url = stage.demo.stack.urls['issuer'] as string;
      const hidden = `GET /livez HTTP/1.1\r\n${host(url)}\r\n\r\n`;
      for (const lines of [
        ['content-length: 6', 'transfer-encoding: chunked'],
        ['content-length: 2', 'content-length: 40'],
        ['transfer-encoding: xchunked'],
        ['content-length: 2, 2'],
      ]) {
        const text = await raw(
          url,
          `POST /t/acme/token HTTP/1.1\r\n${host(url)}\r\n${lines.join('\r\n')}\r\n\r\n0\r\n\r\n${hidden}`,
        );
        expect(answers(text), lines.join()).toEqual(['HTTP/1.1 400']);
      }
      for (const encoding of ['gzip', 'br', 'identity', 'chunked']) {
        const form = [
          'content-type: application/x-www-form-urlencoded',
          `content-encoding: ${encoding}`,
        ];
        const text = await raw(
          url,
          `POST /t/acme/token HTTP/1.1\r\n${host(url)}\r\nconnection: close\r\n${form.join('\r\n')}\r\ncontent-length: 3\r\n\r\na=b`,
        );
        expect(answers(text), encoding).toEqual(['HTTP/1.1 415']);
      }
    });

    test('row 73: a body that a gateway rewrites is judged as it arrives', async () => {
      const order = await stage.agent.startTask({
        idToken: await stage.world.signIn('bob'),
        taskType: 'raise-purchase-order',
        slots: { supplier: 'S-100', ceiling: 100 },
        resource: stage.world.erp.url,
      });
      const before = await stage.world.erp.counts();
      const by = { user: 'bob', agents: ['procurement-agent'] };
      for (const [change, reason] of [
        [{ amount: 101 }, 'scope_constraint'],
        [{ supplier: 'S-200' }, 'scope_constraint'],
      ] as const) {
        const body = { supplier: 'S-100', item: 'x', amount: 1, currency: 'EUR', ...change };
        const url = `${stage.world.erp.url}/orders`;
        await stage.refused(
          {
            method: 'POST',
            path: '/orders',
            headers: stage.credentials(order.token, { method: 'POST', url }),
            body: JSON.stringify(body),
          },
          { status: 403, reason, by },
        );
      }
      expect(await stage.world.erp.counts()).toEqual(before);
      expect((await orderOf(order, stage.world.erp.url, 100)).status).toBe(201);
    });
  });

  describe('large and slow', () => {
    test('row 67: ten megabytes, a million names and endless nesting end early', async () => {
      const bodies = [
        'x'.repeat(10_000_000),
        `{${'"a":1,'.repeat(200_000)}"b":1}`,
        '['.repeat(100_000),
      ];
      for (const [service, path] of [
        ['erp', '/orders'],
        ['issuer', '/t/acme/token'],
        ['pdp', '/t/acme/access/v1/evaluation'],
        ['revocation', '/t/acme/revoke'],
      ] as const) {
        const url = stage.demo.stack.urls[service] as string;
        for (const body of bodies) {
          const startedAt = performance.now();
          const response = await fetch(url + path, {
            method: 'POST',
            headers: {
              'content-type':
                service === 'issuer' ? 'application/x-www-form-urlencoded' : 'application/json',
            },
            body,
          }).catch(() => undefined);
          // The connection may be cut while the body is still on its way.
          if (response) expect([400, 401, 413], service).toContain(response.status);
          expect(performance.now() - startedAt).toBeLessThan(3_000);
        }
        expect((await fetch(`${url}${service === 'erp' ? '/healthz' : '/livez'}`)).status).toBe(
          200,
        );
      }
    });

    test('row 68: texts that would keep a backtracking pattern busy cost nothing', async () => {
      const url = stage.demo.stack.urls['issuer'] as string;
      const long = 8_000;
      for (const headers of [
        { 'user-agent': `${'a'.repeat(long)}!` },
        { 'x-request-id': `${'a.'.repeat(long / 2)}!` },
        { 'content-type': `application/json${' '.repeat(long)};x` },
        { 'content-type': `${'a'.repeat(long)}/` },
        { authorization: `Bearer ${'a'.repeat(long)}!` },
        { dpop: `${'a'.repeat(long)}.` },
      ] as Record<string, string>[]) {
        for (const target of [`${url}/livez`, `${stage.world.erp.url}/suppliers/S-100`]) {
          const startedAt = performance.now();
          await fetch(target, { headers });
          expect(performance.now() - startedAt, Object.keys(headers)[0]).toBeLessThan(1_000);
        }
      }
      for (const path of [`/suppliers/${'a-'.repeat(2_000)}`, `/${'%41'.repeat(2_000)}`]) {
        const startedAt = performance.now();
        await fetch(stage.world.erp.url + path, { headers: stage.credentials(token) });
        expect(performance.now() - startedAt).toBeLessThan(1_000);
      }
    });
  });

  test('row 70: no secret is in a log, in an answer of the ledger or in its rows', async () => {
    const { stack, dev } = stage.demo;
    const privateParts = globSync('keys/**/*.json', { cwd: stack.plan.path() }).flatMap((file) => {
      const text = readFileSync(join(stack.plan.path(), file), 'utf8');
      return [...text.matchAll(/"(?:d|priv)":\s*"([\w-]{20,})"/g)].map(([, value = '']) => value);
    });
    const seeds = globSync('bus/**/*.seed', { cwd: stack.plan.path() }).map((file) =>
      readFileSync(join(stack.plan.path(), file), 'utf8').trim(),
    );
    const passwords = [
      ...Object.values(dev.postgres.roles).map((url) => new URL(url).password),
      ...dev.users.map(({ password }) => password),
    ];
    const [, payload = '', signature = ''] = token.split('.');
    const secrets = [...privateParts, ...seeds, ...passwords, payload, signature.slice(0, 60)];
    expect(privateParts.length).toBeGreaterThan(10);
    expect(seeds.length).toBeGreaterThan(5);
    expect(secrets.every((secret) => secret.length >= 8)).toBe(true);
    const records = await stage.recordBytes();
    expect(records.length).toBeGreaterThan(100_000);
    for (const [name, text] of [...logs(stage), ['ledger', records] as const]) {
      for (const secret of secrets) expect(text.includes(secret), name).toBe(false);
    }
  });
}
