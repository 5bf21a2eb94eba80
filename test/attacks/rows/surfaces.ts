import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { audienceOf, signInAs } from '@remit/cli';
import { beforeAll, describe, expect, test } from 'vitest';
import { raw, type Stage, summaryOf } from '../stage.ts';

/** The HTTP surfaces around the token, over raw sockets where a client library would tidy up. */
export function surfaces(at: () => Stage): void {
  let stage: Stage;
  let token: string;
  const people = new Map<string, string>();
  beforeAll(async () => {
    stage = at();
    token = (await summaryOf(stage)).token;
    for (const [user, service] of [
      ['dora', 'registry'],
      ['dora', 'pdp'],
      ['dora', 'revocation'],
      ['erin', 'audit'],
      ['erin', 'pdp'],
      ['alice', 'registry'],
    ] as const) {
      const { accessToken } = await signInAs(
        stage.demo.dev,
        user,
        audienceOf(stage.demo.dev, service),
      );
      people.set(`${user} ${service}`, accessToken);
    }
  });

  const address = (service: string) => stage.demo.stack.urls[service] as string;
  const person = (user: string, service: string) =>
    `authorization: Bearer ${people.get(`${user} ${service}`)}`;
  const send = async (service: string, line: string, headers: string[] = [], body = '') => {
    const text = await raw(
      address(service),
      [
        `${line} HTTP/1.1`,
        `host: ${new URL(address(service)).host}`,
        'connection: close',
        ...headers,
        ...(body === '' ? [] : [`content-length: ${Buffer.byteLength(body)}`]),
        '',
        body,
      ].join('\r\n'),
    );
    expect(text).not.toMatch(/node_modules|\.ts:\d|syntax error|PostgresError/);
    return { status: Number(text.split(' ')[1] ?? 0), text };
  };
  const userStatus = async () =>
    (await send('registry', 'GET /t/acme/users/bob', [person('dora', 'registry')])).text.match(
      /"status":"(\w+)"/,
    )?.[1];

  describe('routes of administrators', () => {
    test('row 72: nobody, an agent, another’s token and a person without the role change nothing', async () => {
      const target = 'POST /t/acme/users/bob/disable';
      const refused: [string[], number][] = [
        [[], 401],
        [[`authorization: Bearer ${token}`], 401],
        [[`authorization: DPoP ${token}`], 401],
        [[`authorization: Basic ${Buffer.from('dora:x').toString('base64')}`], 401],
        [[`cookie: access_token=${people.get('dora registry')}`], 401],
        [[person('dora', 'pdp')], 401],
        [[person('alice', 'registry')], 403],
        [[person('dora', 'registry'), person('alice', 'registry')], 401],
      ];
      for (const [headers, status] of refused) {
        expect((await send('registry', target, headers)).status, headers.join().slice(0, 40)).toBe(
          status,
        );
      }
      expect(await userStatus()).toBe('active');
      const [line] = await stage.world.ledger.lines({ event: 'admin.refused', decision: 'deny' });
      expect(line?.reason).toMatch(/^person_/);
    });

    test('row 72: strangers at every route of people are counted, whichever service it is', async () => {
      expect((await send('registry', 'GET /t/initech/users/bob')).status).toBe(401);
      for (const [service, target] of [
        ['registry', 'GET /t/acme/users/bob'],
        ['pdp', 'GET /t/acme/admin/v1/policies'],
        ['audit', 'GET /t/acme/records'],
        ['revocation', 'POST /t/acme/revoke'],
      ] as const) {
        const body = service === 'revocation' ? '{"kind":"user","id":"bob"}' : '';
        const type = body === '' ? [] : ['content-type: application/json'];
        expect((await send(service, target, type, body)).status).toBe(401);
      }
      await stage.world.until(async () => {
        const lines = await stage.world.ledger.lines({ reason: 'person_unauthenticated' });
        const from = new Set(lines.map(({ record }) => record.producer.service));
        return ['audit', 'pdp', 'registry', 'revocation'].every((service) => from.has(service));
      });
      // A stranger begins no ledger under a name of their own.
      expect(await stage.rows(['audit.records'], 'initech')).toEqual([0]);
    });

    test('row 72: another spelling of a path, or another method in a header, reaches nothing', async () => {
      for (const target of [
        '//t/acme/users/bob/disable',
        '/t//acme/users/bob/disable',
        '/t/acme;x/users/bob/disable',
        '/t/acme/users/bob/disable/',
        '/t/acme/users/bob/./disable',
        '/t/acme/x/../users/bob/disable',
        '/t/acme/users/%62ob/disable',
        '/t/acme/users/bob%2fdisable',
        '/t/acme%00/users/bob/disable',
        '/T/acme/users/bob/disable',
        '\\t\\acme\\users\\bob\\disable',
        `${address('registry')}/t/acme/users/bob/disable`,
        '/t/acme/users/bob/disable?x=1',
      ]) {
        const { status } = await send('registry', `POST ${target}`, [person('dora', 'registry')]);
        expect([400, 404], target).toContain(status);
      }
      for (const name of ['x-http-method-override', 'x-method-override', '_method']) {
        const headers = [person('dora', 'registry'), `${name}: POST`];
        expect((await send('registry', 'GET /t/acme/users/bob/disable', headers)).status).toBe(405);
      }
      const form = ['content-type: text/plain', person('dora', 'revocation')];
      const body = '{"kind":"user","id":"bob"}';
      expect((await send('revocation', 'POST /t/acme/revoke', form, body)).status).toBe(415);
      expect(await userStatus()).toBe('active');
    });

    test('row 58: ids with the characters of subjects are only ids', async () => {
      for (const id of ['*', '%3E', 'bob.%2A', '$JS', 'a%20b', 'x'.repeat(250), 'a%0D%0Ab']) {
        const { status } = await send('registry', `POST /t/acme/users/${id}/disable`, [
          person('dora', 'registry'),
        ]);
        expect([400, 404], id).toContain(status);
      }
      for (const tenant of ['*', '%3E', 'acme.x', 'ACME', '$SYS', `a${'b'.repeat(40)}`]) {
        const { status } = await send('registry', `GET /t/${tenant}/users/bob`, [
          person('dora', 'registry'),
        ]);
        expect([400, 404], tenant).toContain(status);
      }
      expect(await userStatus()).toBe('active');
    });
  });

  describe('questions to the ledger', () => {
    test('row 65: filters are values, never SQL, and numbers are numbers', async () => {
      const [size = 0] = await stage.rows(['audit.records']);
      const ask = (query: string) =>
        send('audit', `GET /t/acme/records?${query}`, [person('erin', 'audit')]);
      for (const name of ['agent', 'user', 'event', 'reason', 'action', 'task', 'token']) {
        for (const value of [
          "' OR 1=1--",
          "'; drop table audit.records;--",
          '%',
          '{a}',
          '$1',
          '"',
        ]) {
          const { status, text } = await ask(`${name}=${encodeURIComponent(value)}`);
          expect([status, text.includes('"records":[]')], `${name}=${value}`).toEqual([200, true]);
        }
      }
      for (const query of [
        'limit=-1',
        'limit=0',
        'limit=NaN',
        'limit=1e9',
        'limit=201',
        'limit=1;select',
        'limit=5&limit=6',
        'cursor=x',
        'cursor=LTE',
        'from=yesterday',
        "to=2026-01-01T00:00:00Z'",
        'sort=seq;drop',
        'order=desc',
        'agent=%00',
        'user[$ne]=x',
        '__proto__=x',
        'agent=',
      ]) {
        expect((await ask(query)).status, query).toBe(400);
      }
      const [now = 0] = await stage.rows(['audit.records']);
      expect(now).toBeGreaterThanOrEqual(size);
    });

    test('row 64: what a caller writes is one line of a log and one line of the ledger', async () => {
      const evil = 'a\r\nFAKE ALLOW\u001b[2J\u2028\u202e=cmd|x';
      const path = `/suppliers/${encodeURIComponent(evil)}`;
      const target = stage.world.erp.url + path;
      const id = await stage.refused(
        { path, headers: stage.credentials(token, { url: target }) },
        {
          status: 400,
          reason: 'arguments_invalid',
          by: { user: 'alice', agents: ['procurement-agent'] },
        },
      );
      const { line } = await stage.world.ledger.line(id);
      expect(line).not.toMatch(/[\p{Cc}\u2028\u202e]/u);
      expect(line).toContain(String.raw`\u{d}\u{a}FAKE ALLOW`);
      const body = JSON.stringify({ kind: 'token', id: 'x'.repeat(20), reason: evil });
      const headers = [
        person('dora', 'revocation'),
        'content-type: application/json',
        'user-agent: a"\\r\\n{}',
        'x-request-id: a"b',
      ];
      expect((await send('revocation', 'POST /t/acme/revoke', headers, body)).status).toBe(200);
      for (const [name, text] of logs(stage)) {
        if (['nats', 'postgres'].includes(name)) continue;
        for (const entry of text.split('\n').filter((each) => each.startsWith('{'))) {
          expect(() => JSON.parse(entry) as unknown, name).not.toThrow();
        }
        expect(text, name).not.toMatch(/^FAKE ALLOW/m);
        expect(text.includes('\u001b[2J'), name).toBe(false);
      }
    });
  });

  describe('questions to the pdp', () => {
    const evaluate = async (body: object) => {
      const { status, text } = await send(
        'pdp',
        'POST /t/acme/access/v1/evaluation',
        [person('erin', 'pdp'), 'content-type: application/json'],
        JSON.stringify(body),
      );
      return { status, decision: /"decision":(\w+)/.exec(text)?.[1] };
    };
    const good = () => ({
      subject: { type: 'user', id: 'alice' },
      action: { name: 'suppliers.read' },
      resource: { type: 'erp', id: 'suppliers/S-100' },
      context: {
        actors: ['procurement-agent'],
        audience: stage.world.erp.url,
        task: { type: 'supplier-risk-summary', slots: { supplier: 'S-100' } },
      },
    });

    test('row 48: an id is never a type, an entity or a parent', async () => {
      expect(await evaluate(good())).toEqual({ status: 200, decision: 'true' });
      for (const id of [
        'User::"alice"',
        'alice"',
        'alice\\"',
        '__entity',
        'suppliers.read',
        'procurement-agent',
        'Alice',
        'alice ',
        'alice\u0000',
      ]) {
        const asked = { ...good(), subject: { type: 'user', id } };
        expect(await evaluate(asked), id).toEqual({ status: 200, decision: 'false' });
      }
      for (const subject of [
        { type: 'Agent', id: 'procurement-agent' },
        { type: 'group', id: 'treasury' },
        { type: 'user', id: 'dora', properties: { roles: ['treasury-analyst'], parents: ['x'] } },
      ]) {
        expect(await evaluate({ ...good(), subject })).toEqual({ status: 200, decision: 'false' });
      }
      const { context, ...rest } = good();
      for (const actors of [
        ['User::"alice"'],
        ['procurement-agent', 'nobody'],
        ['alice'],
        ['a\u0000'],
      ]) {
        expect(await evaluate({ ...rest, context: { ...context, actors } })).toEqual({
          status: 200,
          decision: 'false',
        });
      }
      for (const args of [{ __entity: { type: 'User', id: 'dora' } }, { __extn: { fn: 'ip' } }]) {
        expect(await evaluate({ ...rest, context: { ...context, args } })).toEqual({
          status: 200,
          decision: 'false',
        });
      }
    });

    test('row 49: questions that differ in one name are answered apart, whatever stands between', async () => {
      for (let i = 0; i < 2; i++) {
        expect((await evaluate(good())).decision).toBe('true');
        for (const resource of [
          { type: 'erp', id: 'suppliers/S-200' },
          { type: 'erp/suppliers', id: 'S-100/x' },
          { type: 'erpsuppliers', id: '/S-100' },
          { type: 'erp:suppliers', id: 'S-100' },
        ]) {
          expect((await evaluate({ ...good(), resource })).decision).toBe('false');
        }
      }
    });

    test('row 46: a guardrail that fails at an attribute refuses, and one that may fail is not taken', async () => {
      const upload = async (files: Record<string, string>) =>
        send(
          'pdp',
          'POST /t/acme/admin/v1/policies',
          [person('dora', 'pdp'), 'content-type: application/json'],
          JSON.stringify({ message: 'row 46', files }),
        );
      const missing = await upload({
        'missing.cedar':
          '@id("missing") forbid (principal, action, resource) when { principal.getTag("clearance") == "low" };',
      });
      expect(missing.status).toBe(422);
      expect((await evaluate(good())).decision).toBe('true');
      const made = await upload({
        'overflow.cedar':
          '@id("overflow") forbid (principal, action, resource) when { principal.version + 9223372036854775807 < 0 };',
      });
      const version = /"version":"([^"]+)"/.exec(made.text)?.[1] ?? '';
      expect([made.status, version]).toEqual([201, expect.stringMatching(/^[\w-]{20,}$/)]);
      const before = await stage.world.ledger.lines({ event: 'policy.activated' });
      await send('pdp', `POST /t/acme/admin/v1/policies/${version}/activate`, [
        person('dora', 'pdp'),
      ]);
      const headers = () => stage.credentials(token);
      const url = `${stage.world.erp.url}/suppliers/S-100`;
      await stage.world.until(
        async () => (await fetch(url, { headers: headers() })).status === 403,
      );
      const id = await stage.refused(
        { headers: headers() },
        {
          status: 403,
          reason: 'policy_error',
          by: { user: 'alice', agents: ['procurement-agent'] },
        },
      );
      const line = await stage.world.ledger.line(id);
      expect(line.record.policies).toContain('overflow');
      const previous = before.at(-1)?.record.policy_version ?? '';
      await send('pdp', `POST /t/acme/admin/v1/policies/${previous}/activate`, [
        person('dora', 'pdp'),
      ]);
      expect((await evaluate(good())).decision).toBe('true');
    });
  });
}

/** The logs of every process, by name. */
export function logs(stage: Stage): [string, string][] {
  const dir = stage.demo.stack.plan.path('logs');
  return readdirSync(dir).map((file) => [
    file.replace(/\.log$/, ''),
    readFileSync(join(dir, file), 'utf8'),
  ]);
}
