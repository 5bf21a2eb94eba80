import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KEY, post, startApplication } from '../test/authzen-world.ts';
import type { World } from '../test/world.ts';

// AuthZEN's certification scenario for Authorization API 1.0: its users, records and eight decisions,
// and every request that it describes. Numbers are its sections.

const may = (...actions: string[]) => [{ actions, resources: ['record/**'], args: 'any' as const }];

let world: World;
beforeAll(async () => {
  world = await startApplication({
    actions: ['read', 'write', 'delete'],
    resources: [{ resource: 'record/record-1' }, { resource: 'record/record-2' }],
    users: {
      alice: { roles: ['editor'] },
      bob: { roles: ['editor', 'admin'] },
    },
    roles: { editor: may('read', 'write', 'delete'), admin: may('write') },
    policies: `
      @id("bob-writes-as-admin")
      forbid (principal, action == Action::"write", resource)
      when { context.user == User::"bob" }
      unless {
        (context.attested.subject.hasTag("role") && context.attested.subject.getTag("role") == "admin") ||
        (context.user in Role::"admin" && context.attested.resource.hasTag("status") &&
          context.attested.resource.getTag("status") == "archived")
      };
      @id("archived-is-for-admins")
      forbid (principal, action == Action::"write", resource)
      when {
        context.attested.resource.hasTag("status") &&
        context.attested.resource.getTag("status") == "archived"
      }
      unless {
        context.user in Role::"admin" ||
        (context.attested.subject.hasTag("role") && context.attested.subject.getTag("role") == "admin")
      };
      @id("only-soft")
      forbid (principal, action == Action::"delete", resource)
      unless {
        context.attested.action.hasTag("soft") && context.attested.action.getTag("soft") == "true"
      };`,
  });
});
afterAll(() => world?.[Symbol.asyncDispose]());

const alice = { type: 'user', id: 'alice' };
const bob = { type: 'user', id: 'bob' };
const admin = { ...bob, properties: { role: 'admin' } };
const read = { name: 'read' };
const write = { name: 'write' };
const one = { type: 'record', id: 'record-1' };
const two = { type: 'record', id: 'record-2' };
const active = { ...one, properties: { status: 'active' } };
const archived = { ...two, properties: { status: 'archived' } };
const TIME = { time: '2025-06-27T18:03-07:00', ip: '192.168.1.1' };

async function decided(body: object) {
  const answer = await post(world, 'evaluation', body);
  expect([answer.statusCode, answer.headers['content-type']]).toEqual([
    200,
    expect.stringMatching(/^application\/json/),
  ]);
  return answer.body;
}
async function batch(body: object) {
  const answer = await post(world, 'evaluations', body);
  expect(answer.statusCode, answer.body).toBe(200);
  return answer.body;
}
const decisions = (...all: boolean[]) =>
  JSON.stringify({ evaluations: all.map((decision) => ({ decision })) });

describe('basic', () => {
  it('has the eight decisions of the fixture, alone in the answer (1.4, 2.2)', async () => {
    const cases: [object, boolean][] = [
      [{ subject: alice, action: read, resource: one }, true],
      [{ subject: alice, action: write, resource: one }, true],
      [{ subject: bob, action: read, resource: one }, true],
      [{ subject: bob, action: write, resource: one }, false],
      [{ subject: alice, action: write, resource: archived }, false],
      [{ subject: admin, action: write, resource: archived }, true],
      [
        { subject: alice, action: { name: 'delete', properties: { soft: true } }, resource: one },
        true,
      ],
      [
        { subject: alice, action: { name: 'delete', properties: { soft: false } }, resource: one },
        false,
      ],
    ];
    for (const [body, expected] of cases) {
      for (const given of [body, { ...body, context: TIME }, body])
        expect(await decided(given), JSON.stringify(given)).toBe(`{"decision":${expected}}`);
    }
  });

  it('takes more properties and members than it knows (2.2.8, 2.2.9)', async () => {
    expect(
      await decided({
        subject: {
          ...alice,
          properties: { department: 'Sales', role: 'manager', deep: { a: [1] } },
        },
        action: { ...read, properties: { method: 'GET' } },
        resource: { ...one, properties: { status: 'active', owner: 'bob', none: null } },
        foo: 'bar',
        futureField: { nested: true },
      }),
    ).toBe('{"decision":true}');
  });

  it('refuses what is no request with 400, and echoes X-Request-ID either way (2.4, 2.5)', async () => {
    const good = { subject: alice, action: read, resource: one };
    const { subject, action, resource } = good;
    const bodies: (object | string)[] = [
      { action, resource },
      { subject, resource },
      { subject, action },
      { ...good, subject: { id: 'alice' } },
      { ...good, subject: { type: 'user' } },
      { ...good, action: {} },
      { ...good, resource: { id: 'record-1' } },
      { ...good, resource: { type: 'record' } },
      { ...good, subject: 'alice' },
      { ...good, action: { name: 123 } },
      '{"subject":',
      '[]',
      '',
    ];
    const id = { 'x-request-id': 'bfe9eb29-ab87-4ca3-be83-a1d5d8305716' };
    for (const path of ['evaluation', 'evaluations'])
      for (const body of bodies) {
        const answer = await post(world, path, body, id);
        expect([answer.statusCode, answer.headers['x-request-id']], JSON.stringify(body)).toEqual([
          400,
          id['x-request-id'],
        ]);
      }
    for (const type of ['text/plain', 'application/xml'])
      expect((await post(world, 'evaluation', good, { 'content-type': type })).statusCode).toBe(
        400,
      );
    const charset = { 'content-type': 'application/json; charset=utf-8' };
    const answer = await post(world, 'evaluation', good, charset);
    expect([answer.statusCode, typeof answer.headers['x-request-id']]).toEqual([200, 'string']);
  });
});

describe('batch', () => {
  it('decides in order, with defaults and without (3.2)', async () => {
    const cases: [object, string][] = [
      [
        { subject: alice, action: read, evaluations: [{ resource: one }, { resource: two }] },
        decisions(true, true),
      ],
      [
        { subject: bob, resource: one, evaluations: [{ action: read }, { action: write }] },
        decisions(true, false),
      ],
      [
        {
          subject: alice,
          action: write,
          evaluations: [{ resource: active }, { resource: archived }],
        },
        decisions(true, false),
      ],
      [
        {
          action: write,
          resource: archived,
          evaluations: [{ subject: alice }, { subject: admin }],
        },
        decisions(false, true),
      ],
      [
        {
          evaluations: [
            { subject: alice, action: read, resource: one },
            { subject: bob, action: write, resource: one },
          ],
        },
        decisions(true, false),
      ],
      [
        {
          subject: alice,
          action: read,
          context: TIME,
          evaluations: [{ resource: one }, { resource: two, context: { source: 'override' } }],
        },
        decisions(true, true),
      ],
    ];
    for (const [body, expected] of cases)
      expect(await batch(body), JSON.stringify(body)).toBe(expected);
  });

  it('fills in a missing type or id from the default, and mixes no properties (3.2.7)', async () => {
    expect(
      await batch({
        subject: alice,
        action: write,
        resource: { type: 'record' },
        evaluations: [
          { resource: { id: 'record-1', properties: { status: 'active' } } },
          { resource: archived },
        ],
      }),
    ).toBe(decisions(true, false));
    // The archived status of the default is not the item's: mixed, this would be a deny.
    expect(
      await batch({
        subject: alice,
        action: write,
        resource: archived,
        evaluations: [{ resource: two }],
      }),
    ).toBe(decisions(true));
  });

  it('lets one item fail alone (3.4.1), also where a default is incomplete', async () => {
    const answer = JSON.parse(
      await batch({
        subject: alice,
        action: read,
        evaluations: [{ resource: one }, {}, 7, { resource: { id: 1 } }],
      }),
    ) as { evaluations: { decision: boolean; context?: { error: { status: number } } }[] };
    expect(answer.evaluations.map(({ decision }) => decision)).toEqual([true, false, false, false]);
    expect(answer.evaluations[1]?.context?.error.status).toBe(400);
    expect(
      await batch({
        subject: alice,
        action: read,
        resource: {},
        context: {},
        evaluations: [{ resource: one }],
      }),
    ).toBe(decisions(true));
    expect(
      await batch({ resource: one, evaluations: [{ subject: alice, action: read }, {}] }),
    ).toContain('[{"decision":true},{"decision":false');
  });

  it('is one evaluation without items (3.4.2, 3.4.3)', async () => {
    const body = { subject: alice, action: read, resource: one };
    expect(await batch(body)).toBe('{"decision":true}');
    expect(await batch({ ...body, evaluations: [] })).toBe('{"decision":true}');
  });

  it('ends at the item that its semantic names, and has no other', async () => {
    const items = (...all: boolean[]) => ({
      subject: bob,
      resource: one,
      evaluations: all.map((allowed) => ({ action: allowed ? read : write })),
    });
    const cases: [string, boolean[], boolean[]][] = [
      ['execute_all', [true, false, true], [true, false, true]],
      ['deny_on_first_deny', [true, false, true], [true, false]],
      ['deny_on_first_deny', [true, true], [true, true]],
      ['permit_on_first_permit', [false, true, false], [false, true]],
      ['permit_on_first_permit', [false, false], [false, false]],
    ];
    for (const [semantic, asked, expected] of cases)
      expect(
        await batch({ ...items(...asked), options: { evaluations_semantic: semantic } }),
        semantic,
      ).toBe(decisions(...expected));
    for (const options of [
      { evaluations_semantic: 'any' },
      { evaluations_semantic: null },
      'x',
      [],
    ])
      expect((await post(world, 'evaluations', { ...items(true), options })).statusCode).toBe(400);
    for (const evaluations of [{}, 'x', null, Array.from({ length: 257 }, () => ({}))])
      expect(
        (
          await post(world, 'evaluations', {
            subject: bob,
            action: read,
            resource: one,
            evaluations,
          })
        ).statusCode,
      ).toBe(400);
  });

  it('leaves a record of each decision that it made, and of none that it did not', async () => {
    const at = (n: number) => ({ type: 'record', id: `of-a-batch-${n}` });
    await batch({
      subject: alice,
      action: { name: 'delete' },
      options: { evaluations_semantic: 'deny_on_first_deny' },
      evaluations: [{ action: read, resource: at(1) }, { resource: at(2) }, { resource: at(3) }],
    });
    await world.recorded(({ operation }) => operation?.resource === 'record/of-a-batch-2');
    const seen = world.records.flatMap(({ operation, decision }) =>
      operation?.resource.startsWith('record/of-a-batch') ? [[operation.resource, decision]] : [],
    );
    expect(seen).toEqual([
      ['record/of-a-batch-1', 'allow'],
      ['record/of-a-batch-2', 'deny'],
    ]);
  });
});

describe('search', () => {
  const find = async (kind: string, body: object) => {
    const answer = await post(world, `search/${kind}`, body);
    expect([answer.statusCode, answer.body.slice(0, 80)], JSON.stringify(body)).toEqual([
      200,
      expect.anything(),
    ]);
    return answer.json<{ page?: { next_token: string; count: number }; results: unknown[] }>();
  };

  it('finds users, resources and actions (4.2 to 4.4)', async () => {
    const user = { type: 'user' };
    const record = { type: 'record' };
    const cases: [string, object, unknown[]][] = [
      ['subject', { subject: user, action: read, resource: one }, [alice, bob]],
      ['subject', { subject: user, action: read, resource: one, context: TIME }, [alice, bob]],
      ['subject', { subject: { ...user, id: 'bob' }, action: read, resource: one }, [alice, bob]],
      ['subject', { subject: user, action: write, resource: archived }, [bob]],
      ['resource', { subject: alice, action: read, resource: record }, [one, two]],
      ['resource', { subject: alice, action: read, resource: { ...record, id: 'x' } }, [one, two]],
      ['resource', { subject: admin, action: write, resource: record }, [one, two]],
      ['resource', { subject: bob, action: write, resource: record }, []],
      ['action', { subject: alice, resource: one }, [read, write]],
      ['action', { subject: alice, resource: one, context: TIME }, [read, write]],
      ['action', { subject: admin, resource: archived }, [read, write]],
    ];
    for (const [kind, body, expected] of cases)
      expect((await find(kind, body)).results, JSON.stringify(body)).toEqual(expected);
  });

  it('finds nothing of what nobody knows (4.6)', async () => {
    const cases: [string, object][] = [
      ['action', { subject: { type: 'user', id: 'nonexistent-user' }, resource: one }],
      ['action', { subject: alice, resource: { type: 'record', id: '*' } }],
      ['subject', { subject: { type: 'spaceship' }, action: read, resource: one }],
      ['subject', { subject: { type: 'user' }, action: { name: 'fly' }, resource: one }],
      ['resource', { subject: alice, action: read, resource: { type: 'spaceship' } }],
    ];
    for (const [kind, body] of cases) {
      const answer = await post(world, `search/${kind}`, body);
      expect([answer.statusCode, answer.body], JSON.stringify(body)).toEqual([
        200,
        '{"results":[]}',
      ]);
    }
  });

  it('goes on page by page, the same things as at once (4.5)', async () => {
    const body = { subject: { type: 'user' }, action: read, resource: one };
    const found: unknown[] = [];
    let token: string | undefined;
    for (let pages = 0; token !== ''; pages++) {
      expect(pages).toBeLessThan(5);
      const page = { limit: 1, ...(token === undefined ? {} : { token }) };
      const answer = await find('subject', { ...body, page });
      expect(answer.page?.count).toBe(answer.results.length);
      expect(answer.results.length).toBeLessThanOrEqual(1);
      found.push(...answer.results);
      token = answer.page?.next_token ?? '';
    }
    expect(found).toEqual([alice, bob]);
  });

  it('refuses a page of another request, and a token that is none', async () => {
    const body = { subject: { type: 'user' }, action: read, resource: one };
    const first = await find('subject', { ...body, page: { limit: 1 } });
    const token = first.page?.next_token ?? '';
    expect(token).not.toBe('');
    for (const [other, page] of [
      [{ ...body, action: write }, { token }],
      [{ ...body, resource: two }, { token }],
      [body, { token: 'eA' }],
      [body, { token: `${token}x` }],
      [body, { limit: 0 }],
      [body, { limit: '1' }],
    ] as const) {
      const answer = await post(world, 'search/subject', { ...other, page });
      expect(answer.statusCode, JSON.stringify(page)).toBe(400);
    }
  });

  it('refuses what is no search (4.7)', async () => {
    const cases: [string, object][] = [
      ['subject', { subject: { type: 'user' }, resource: one }],
      ['subject', { subject: { type: 'user' }, action: read, resource: { type: 'record' } }],
      ['resource', { action: read, resource: { type: 'record' } }],
      ['resource', { subject: { type: 'user' }, action: read, resource: { type: 'record' } }],
      ['action', { subject: alice }],
    ];
    for (const [kind, body] of cases)
      expect((await post(world, `search/${kind}`, body)).statusCode, kind).toBe(400);
  });
});

describe('an application that asks', () => {
  const body = { subject: alice, action: read, resource: one };

  // Let the request name another audience, or drop the comparison of hashes, and this goes red.
  it('asks with its key, at its tenant, about its own tool', async () => {
    for (const headers of [
      { authorization: `Bearer ${'x'.repeat(43)}` },
      { authorization: `Basic ${KEY}` },
      { authorization: '' },
    ]) {
      const answer = await post(world, 'evaluation', body, headers);
      expect([answer.statusCode, answer.headers['www-authenticate']]).toEqual([
        401,
        expect.stringMatching(/^Bearer/),
      ]);
    }
    const elsewhere = await world.pdp.http.inject({
      method: 'POST',
      url: '/t/globex/access/v1/evaluation',
      headers: { authorization: `Bearer ${KEY}` },
      payload: body,
    });
    expect(elsewhere.statusCode).toBe(401);
    const context = { audience: 'https://erp.example', actors: ['procurement-agent'] };
    const other = { ...body, action: { name: 'suppliers.read' }, context };
    expect((await post(world, 'evaluation', other)).body).toBe('{"decision":false}');
  });
});
