import type { AuditRecord } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { deniedInWords } from './denied.ts';
import type { RecordView } from './records.ts';

const record: AuditRecord = {
  v: 1,
  id: '0199-1',
  time: '2026-11-22T14:03:12.123456Z',
  tenant: 'acme',
  producer: { service: 'erp-1', instance: 'i', version: '0.1.0', boot: 'b', n: 1 },
  event: 'decision',
  decision: 'deny',
  reason: 'scope_constraint',
  task: { id: 'task_1', type: 'raise-purchase-order' },
  operation: { action: 'orders.create', resource: 'erp/orders' },
  scope: [
    {
      actions: ['orders.create'],
      resources: ['erp/orders'],
      args: ['amount'],
      constraints: { amount: { max: 5_000 } },
    },
  ],
  miss: { kind: 'constraint', path: 'amount', test: 'max' },
  dimensions: {
    agent: 'not_evaluated',
    user: 'not_evaluated',
    task: 'deny',
    policies: 'not_evaluated',
  },
};
const view: RecordView = {
  user: 'bob',
  agents: ['procurement-agent'],
  values: { '/principal': 'bob', '/operation/args/amount': 9_000 },
  record,
};

describe('a refusal in a terminal', () => {
  it('says code, dimension, what was asked, what was allowed, the decision and its record', () => {
    const told = { code: 'scope_constraint', sentence: 'Too much.', decision: '0199-1' };
    expect(deniedInWords(told, view).split('\n')).toEqual([
      'Refused: Too much.',
      '  code       scope_constraint (docs/error-codes.md#scope_constraint)',
      '  dimension  task',
      '  asked      orders.create on erp/orders: amount 9000',
      '  for        bob → procurement-agent',
      '  task       raise-purchase-order',
      '  allowed    orders.create on erp/orders: amount up to 5,000',
      '  failed     amount, max',
      '  decision   0199-1 (npm run -s dev -- record 0199-1)',
    ]);
  });

  it('says what the caller was told where there is no record', () => {
    expect(deniedInWords({ code: 'proof_replayed' }, undefined)).toBe(
      'Refused: The DPoP proof was used before.\n  code       proof_replayed (docs/error-codes.md#proof_replayed)',
    );
  });

  // Goes red when stripped() is taken out.
  it('stays in its lines, whatever an agent called itself', () => {
    const evil = 'x\n  dimension  none\u001b[2K\u202e';
    const told = deniedInWords(
      { code: 'scope_action', decision: 'd' },
      { ...view, agents: [evil] },
    );
    expect(told.match(/^ {2}dimension/gm)).toHaveLength(1);
    expect(told.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});
