import type { AuditMessage } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { recordLine } from './line.ts';

const message = (record: object, disclosures: AuditMessage['disclosures'] = {}): AuditMessage => ({
  record: {
    v: 1,
    id: '0199-1',
    time: '2026-11-22T14:03:12.123456Z',
    tenant: 'acme',
    producer: { service: 'pep', instance: 'i', version: '0.1.0', boot: 'b', n: 1 },
    event: 'decision',
    ...record,
  },
  disclosures,
});
const plain = { colour: false };

describe('a line of tail', () => {
  it('says when, what was decided, who by whom, what on what, which dimension and why', () => {
    const line = recordLine(
      message(
        {
          decision: 'deny',
          reason: 'scope_action',
          principal: { c: 'x' },
          act_chain: ['procurement-agent', 'risk-analyst'],
          operation: { action: 'contracts.read', resource: 'erp/contracts/C-7' },
          dimensions: {
            agent: 'not_evaluated',
            user: 'not_evaluated',
            task: 'deny',
            policies: 'not_evaluated',
          },
        },
        { '/principal': { salt: 's', value: 'alice' } },
      ),
      plain,
    );
    expect(line).toBe(
      '14:03:12.123  deny            alice → procurement-agent → risk-analyst  contracts.read erp/contracts/C-7  task: scope_action  0199-1',
    );
  });

  it('names the service and the count where strangers were counted', () => {
    expect(
      recordLine(message({ decision: 'deny', reason: 'token_signature', count: 12 }), plain),
    ).toBe('14:03:12.123  deny            pep  token_signature  ×12  0199-1');
  });

  it('names the event where no operation says what was allowed', () => {
    const task = { id: 'task_1', type: 'supplier-risk-summary' };
    expect(
      recordLine(
        message({
          event: 'token.issued',
          decision: 'allow',
          reason: 'permitted',
          actor: 'a',
          task,
        }),
        plain,
      ),
    ).toContain('  token.issued supplier-risk-summary  permitted  ');
  });

  it('shows an erased user as a dash', () => {
    expect(
      recordLine(message({ decision: 'allow', principal: { c: 'x' }, act_chain: ['a'] }), plain),
    ).toContain('– → a');
  });

  // Goes red when clean() is taken out: a name could then fake a second line or move the cursor.
  it('stays one line without control characters, whatever an agent called itself', () => {
    const evil = 'a\r\n14:03 allow mallory\u001b[2K\u001b]0;x\u0007\u2028\u202eb';
    const line = recordLine(
      message({ decision: 'deny', act_chain: [evil], reason: evil }, {}),
      plain,
    );
    expect(line).not.toMatch(/[\p{Cc}\u2028\u202e]/u);
  });

  it('is coloured by decision', () => {
    expect(recordLine(message({ decision: 'allow' }), { colour: true })).toContain(
      '\u001b[32mallow',
    );
    expect(recordLine(message({ decision: 'deny' }), { colour: true })).toContain('\u001b[31mdeny');
  });
});
