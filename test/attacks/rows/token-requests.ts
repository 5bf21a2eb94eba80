import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { importSigner } from '@remit/capability/token';
import { beforeAll, describe, expect, test } from 'vitest';
import { b64, claimsOf, freshJwk, type Stage } from '../stage.ts';
import { details, type TokenClient, tokenClient } from '../token-client.ts';

const READ = { actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] };
const ORDER = {
  actions: ['orders.create'],
  resources: ['erp/orders'],
  args: ['supplier', 'item', 'amount', 'currency'],
};
const BOUNDS = {
  supplier: { in: ['S-100'] },
  amount: { min: 0, max: 100 },
  currency: { in: ['EUR'] },
};
const INVALID = 'invalid_authorization_details';

/** Requests for more than anybody may have, at the token endpoint of a running deployment. */
export function tokenRequests(at: () => Stage): void {
  let stage: Stage;
  let client: TokenClient;
  let bob: string;
  beforeAll(async () => {
    stage = at();
    client = await tokenClient(stage);
    bob = await stage.world.signIn('bob');
  });

  /** Alice’s summary, asked for with these permissions. */
  const summary = (permissions: object[], more: object = {}) =>
    client.launch({
      authorization_details: details(
        'supplier-risk-summary',
        { supplier: 'S-100' },
        permissions,
        more,
      ),
    });
  /** Bob’s order of at most 100 from S-100, asked for with this permission. */
  const order = (permission: object) =>
    client.launch({
      subject_token: bob,
      authorization_details: details('raise-purchase-order', { supplier: 'S-100', ceiling: 100 }, [
        permission,
      ]),
    });
  const withSlots = (slots: Record<string, unknown>, taskType = 'supplier-risk-summary') =>
    client.launch({ authorization_details: details(taskType, slots) });

  test('the requests that the rows below change are good', async () => {
    expect((await summary([READ])).status).toBe(200);
    expect((await order({ ...ORDER, constraints: BOUNDS })).status).toBe(200);
  });

  describe('widening at launch', () => {
    test('row 31: an action that the task does not have is refused, however it is spelled', async () => {
      for (const actions of [
        ['suppliers.export'],
        ['suppliers.read', 'suppliers.export'],
        ['suppliers.*'],
        ['*'],
        ['**'],
        ['suppliers.**'],
        ['orders.create'],
      ]) {
        await client.refused(() => summary([{ ...READ, actions }]), {
          error: INVALID,
          reason: 'task_scope',
        });
      }
    });

    test('row 31: an empty or missing list of actions is never everything', async () => {
      for (const permission of [
        { resources: READ.resources, args: [] },
        { actions: 'suppliers.read', resources: READ.resources, args: [] },
        { ...READ, actions: null },
      ]) {
        await client.refused(() => summary([permission]), {
          error: INVALID,
          reason: 'request_malformed',
        });
      }
      const answer = await summary([{ ...READ, actions: [] }]);
      expect([answer.status, answer.body['error']]).toEqual([400, INVALID]);
    });

    test('row 32: resources that a path reader would repair are refused, never repaired', async () => {
      for (const id of [
        '../S-200',
        'S-100/../S-200',
        '%2e%2e/S-200',
        '%252e',
        'S-100//risk',
        'S-100\\S-200',
        'S-100;x',
        'S-100/',
        'S-100/.',
        'S-100\u0000',
        '/S-100',
        '..',
        '',
      ]) {
        await client.refused(() => withSlots({ supplier: id }), {
          error: INVALID,
          reason: id === '' ? 'request_malformed' : 'slot_invalid',
        });
        await client.refused(() => summary([{ ...READ, resources: [`erp/suppliers/${id}`] }]), {
          error: INVALID,
          reason: 'request_malformed',
        });
      }
    });

    test('row 33: names compare by their exact characters, and look-alikes are others', async () => {
      for (const resource of [
        'erp/suppliers/s-100',
        'ERP/suppliers/S-100',
        'erp/suppliers/\u0405-100',
      ]) {
        await client.refused(() => summary([{ ...READ, resources: [resource] }]), {
          error: INVALID,
          reason: 'task_scope',
        });
      }
      for (const id of ['S\u200b-100', 'S-100\u202e', 'e\u0301', '\uff33-1\u200d', 'S\u00ad1']) {
        await client.refused(() => withSlots({ supplier: id }), {
          error: INVALID,
          reason: 'slot_invalid',
        });
      }
    });

    test('row 34: only the small grammar of patterns is read, and a pattern is wider than a name', async () => {
      for (const resource of [
        'erp/suppliers/*',
        'erp/**',
        'erp/suppliers/S-1*',
        'erp/suppliers/S-100/**',
      ]) {
        await client.refused(() => summary([{ ...READ, resources: [resource] }]), {
          error: INVALID,
          reason: 'task_scope',
        });
      }
      for (const glob of ['{S-100,S-200}', '[!a]', 'S-10?', 'S-\\*', 'a**', '**/x']) {
        await client.refused(() => summary([{ ...READ, resources: [`erp/suppliers/${glob}`] }]), {
          error: INVALID,
          reason: 'request_malformed',
        });
      }
      for (const supplier of ['*', 'S-*', '**']) {
        await client.refused(() => withSlots({ supplier }), {
          error: INVALID,
          reason: 'slot_invalid',
        });
      }
    });

    test('row 35: bounds are exact numbers', async () => {
      const asked = (max: string) =>
        client.launch({
          subject_token: bob,
          authorization_details: details(
            'raise-purchase-order',
            { supplier: 'S-100', ceiling: 100 },
            [{ ...ORDER, constraints: { ...BOUNDS, amount: { min: 0, max: 77_777 } } }],
          ).replace('77777', max),
        });
      for (const max of [
        '"100"',
        '1e400',
        '[100]',
        '{}',
        'null',
        '9007199254740993',
        '99.99999',
        'true',
      ]) {
        await client.refused(() => asked(max), { error: INVALID, reason: 'request_malformed' });
      }
      for (const max of ['NaN', 'Infinity', '0x64', '+100', '01', '.5', '']) {
        await client.refused(() => asked(max), { error: INVALID, reason: 'request_malformed' });
      }
      for (const max of ['101', '1e3', '100.0001']) {
        await client.refused(() => asked(max), { error: INVALID, reason: 'task_scope' });
      }
      expect((await asked('1e2')).status).toBe(200);
      for (const ceiling of ['100', -1, 20_001, 0.00001, [100], true, null]) {
        const answer = await withSlots({ supplier: 'S-100', ceiling }, 'raise-purchase-order');
        expect([answer.status, answer.body['error']]).toEqual([400, INVALID]);
      }
    });

    test('row 36: a swapped, dropped, doubled or unknown constraint is not what was allowed', async () => {
      const { currency: _currency, ...without } = BOUNDS;
      for (const constraints of [
        { ...BOUNDS, currency: { in: ['USD'] } },
        { ...BOUNDS, currency: { in: ['EUR', 'USD'] } },
        { ...BOUNDS, currency: {} },
        { ...BOUNDS, amount: { min: 0, max: 1e9 } },
        without,
        undefined,
      ]) {
        await client.refused(() => order({ ...ORDER, constraints }), {
          error: INVALID,
          reason: 'task_scope',
        });
      }
      for (const constraints of [
        { ...BOUNDS, amount: { min: 0, max: 100, maximum: 5 } },
        { ...BOUNDS, amount: { $lte: 100 } },
        { ...BOUNDS, 'a..b': { max: 1 } },
      ]) {
        await client.refused(() => order({ ...ORDER, constraints }), {
          error: INVALID,
          reason: 'request_malformed',
        });
      }
      const twice = details('raise-purchase-order', { supplier: 'S-100', ceiling: 100 }, [
        { ...ORDER, constraints: BOUNDS },
      ]).replace('"amount":{', '"amount":{"min":0,"max":9},"amount":{');
      await client.refused(
        () => client.launch({ subject_token: bob, authorization_details: twice }),
        { error: INVALID, reason: 'request_malformed' },
      );
    });

    test('row 37: a constraint that is null, empty or of another form is not an absent one', async () => {
      for (const amount of [null, [], 100, '100', [{ max: 100 }]]) {
        await client.refused(() => order({ ...ORDER, constraints: { ...BOUNDS, amount } }), {
          error: INVALID,
          reason: 'request_malformed',
        });
      }
      await client.refused(() => order({ ...ORDER, constraints: null }), {
        error: INVALID,
        reason: 'task_scope',
      });
      for (const constraints of [[], 'any', 0]) {
        await client.refused(() => order({ ...ORDER, constraints }), {
          error: INVALID,
          reason: 'request_malformed',
        });
      }
      await client.refused(() => order({ ...ORDER, args: 'any', constraints: BOUNDS }), {
        error: INVALID,
        reason: 'task_scope',
      });
    });

    test('row 38: no lifetime can be asked for', async () => {
      for (const name of ['expires_in', 'exp', 'lifetime', 'ttl']) {
        const answer = await client.launch({ [name]: '86400' });
        expect([answer.status, answer.body['error']]).toEqual([400, 'invalid_request']);
      }
      const { body } = await client.launch();
      const { exp, iat } = claimsOf(String(body['access_token']));
      expect((exp as number) - (iat as number)).toBe(300);
    });

    test('row 39: another, a second, a changed or no target is refused', async () => {
      const erp = stage.world.erp.url;
      for (const resource of [
        [erp, erp],
        [erp, 'https://other.example'],
        `${erp}/`,
        `${erp}/suppliers`,
        erp.toUpperCase(),
        `${erp}#x`,
        `${erp}\n`,
        'not a uri',
        undefined,
      ]) {
        await client.refused(() => client.launch({ resource }), {
          error: 'invalid_target',
          reason: 'target_unknown',
        });
      }
      await client.refused(() => client.launch({ audience: erp }), {
        error: 'invalid_target',
        reason: 'target_unknown',
      });
    });

    test('row 40: nobody launches for somebody else, or without a user of the tenant', async () => {
      const alice = await stage.world.signIn('alice');
      const [head, , signature] = alice.split('.');
      const claims = claimsOf(alice);
      for (const subject of [
        `${head}.${b64({ ...claims, sub: 'bob' })}.${signature}`,
        `${b64({ alg: 'none' })}.${b64(claims)}.`,
        client.key('procurement-agent').sign({ typ: 'JWT' }, claims),
        client.assertion('procurement-agent'),
        'x',
      ]) {
        await client.refused(() => client.launch({ subject_token: subject }), {
          error: 'invalid_request',
          reason: 'subject_token_invalid',
        });
      }
      for (const change of [{ sub: 'bob' }, { user: 'bob' }, { requested_subject: 'bob' }]) {
        const answer = await client.launch(change);
        expect([answer.status, answer.body['error']]).toEqual([400, 'invalid_request']);
      }
    });

    test('row 69: nobody’s address is asked for keys because a token names it', async () => {
      let asked = 0;
      const server = createServer((_request, response) => {
        asked += 1;
        response.end('{}');
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      const claims = claimsOf(await stage.world.signIn('alice'));
      const own = importSigner(freshJwk());
      for (const iss of [
        `http://127.0.0.1:${port}`,
        `http://localhost:${port}`,
        `http://[::ffff:127.0.0.1]:${port}`,
        `http://0x7f.1:${port}`,
        'http://169.254.169.254',
        `${String(claims['iss'])}/`,
        `${String(claims['iss'])}@127.0.0.1:${port}`,
      ]) {
        const token = own.sign({ typ: 'JWT', jku: `http://127.0.0.1:${port}` }, { ...claims, iss });
        await client.refused(() => client.launch({ subject_token: token }), {
          error: 'invalid_request',
          reason: 'subject_token_invalid',
        });
        const person = own.sign({ typ: 'at+jwt' }, { ...claims, iss });
        const url = `${stage.demo.stack.urls['registry']}/t/acme/users/bob`;
        const answer = await fetch(url, { headers: { authorization: `Bearer ${person}` } });
        expect(answer.status).toBe(401);
      }
      expect(asked).toBe(0);
      server.close();
    });

    test('row 44: an agent that may not start a task, or was not launched by this application, starts none', async () => {
      await client.refused(() => client.launch({}, { agent: 'risk-analyst' }), {
        error: INVALID,
        reason: 'task_type_not_allowed',
        client: 'risk-analyst',
      });
    });

    test('row 45: an agent that the registry allows no bearer token gets none', async () => {
      await client.refused(() => client.launch({}, { proof: null }), {
        error: 'invalid_request',
        reason: 'proof_required',
      });
    });
  });
}
