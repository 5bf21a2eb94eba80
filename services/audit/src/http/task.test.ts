import { type AuditRecord, commit, type Disclosures } from '@remit/contracts';
import { expect, test } from 'vitest';
import { decision, messageOf, SALT } from '../test/messages.ts';
import { testService } from '../test/service.ts';
import type { TaskTree } from './task-tree.ts';

let n = 0;
const at = (changes: Partial<AuditRecord>, disclosures?: Disclosures) => {
  n++;
  const producer = { service: 'issuer', instance: 'i1', version: '0.1.0', boot: 'boot1', n };
  const { operation: _operation, ...plain } = decision(n, { producer });
  const record = { ...plain, ...changes };
  return messageOf(record, disclosures ?? { '/principal': { salt: SALT, value: 'alice' } });
};
const token = (jti: string, lineage: string[] = []) => ({
  token: { jti, lineage, exp: 1, rev: { epoch: 'e', seq: 1 } },
});
const operation = { action: 'suppliers.read', resource: 'erp/suppliers/S-100' };
const revoked = (kind: string, id: string): Partial<AuditRecord> => ({
  event: 'token.revoked',
  reason: 'token_revoked',
  task: undefined as never,
  operation: { action: 'revocation.revoke', resource: `remit/${kind}/${id}` },
});

test('a task is reconstructed: tokens below tokens, calls with their ends, and what was revoked', async () => {
  await using service = await testService();
  const chain = { actor: 'risk-analyst', act_chain: ['procurement-agent', 'risk-analyst'] };
  const messages = [
    at({ ...revoked('agent', 'risk-analyst') }),
    at({ event: 'token.refused', decision: 'deny', reason: 'task_scope' }),
    at({ event: 'token.issued', ...token('t1') }),
    at({ event: 'decision', id: 'd1', ...token('t1'), operation }),
    at({ event: 'call.finished', decision_id: 'd1', ...token('t1'), detail: { outcome: 'ok' } }),
    at({ event: 'token.delegated', ...token('t2', ['t1']), ...chain }),
    at({
      event: 'decision',
      id: 'd2',
      decision: 'deny',
      ...token('t2', ['t1']),
      ...chain,
      operation,
    }),
    // A grandchild whose own parent left no record here.
    at({ event: 'decision', id: 'd3', ...token('t4', ['t1', 't3']), operation }),
    at({ event: 'token.consumed', ...token('t2', ['t1']) }),
    at(revoked('token', 't2')),
    at(revoked('task', 'task_1')),
    at(
      {
        ...revoked('user', ''),
        operation: {
          action: 'revocation.revoke',
          resource: 'remit/user',
          args: { id: commit(SALT, 'alice') },
        },
      },
      { '/operation/args/id': { salt: SALT, value: 'alice' } },
    ),
    at(revoked('task', 'task_9')),
    at({ event: 'token.issued', ...token('t9'), task: { id: 'task_9', type: 'other' } }),
  ];
  const marked = service.marked('boot1', messages.length);
  await service.send(messages);
  await marked;
  const response = await service.get('/tasks/task_1');
  expect(response.statusCode, response.body).toBe(200);
  const tree = response.json<TaskTree & { truncated: boolean }>();
  expect(tree.truncated).toBe(false);
  expect(tree.others.map(({ event }) => event)).toEqual(['token.refused']);
  expect(tree.revocations.map(({ resource }) => resource)).toEqual([
    'remit/task/task_1',
    'remit/user',
  ]);
  expect(tree.tokens).toMatchObject([
    {
      token: 't1',
      agents: ['procurement-agent'],
      issued: { event: 'token.issued', user: 'alice' },
      calls: [{ decision: { id: 'd1' }, finished: { event: 'call.finished' } }],
      children: [
        {
          token: 't2',
          agents: ['procurement-agent', 'risk-analyst'],
          issued: { event: 'token.delegated' },
          calls: [{ decision: { id: 'd2', decision: 'deny' }, finished: null }],
          others: [{ event: 'token.consumed' }],
          revocations: [{ resource: 'remit/token/t2' }],
          children: [],
        },
        {
          token: 't3',
          issued: null,
          children: [{ token: 't4', calls: [{ decision: { id: 'd3' } }] }],
        },
      ],
    },
  ]);
  expect(tree.tokens).toHaveLength(1);
  const found = (await service.get('/records?resource=erp%2Fsuppliers%2FS-100')).json();
  expect(found.records).toHaveLength(3);

  expect((await service.get('/tasks/task_none')).json()).toMatchObject({ code: 'NOT_FOUND' });
  expect((await service.get('/tasks/task_1', 'alice')).statusCode).toBe(403);
  expect((await service.get('/tasks/a%20b')).statusCode).toBe(400);
});
