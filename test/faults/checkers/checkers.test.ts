import { describe, expect, test } from 'vitest';
import type { Line, Note, TokenSeen } from '../history.ts';
import { INVARIANTS, judge } from './index.ts';
import type { InvariantId } from './model.ts';

/** A history from notes at given moments: `[ms, note]`. */
const at = (...lines: [number, Note][]): Line[] =>
  lines.map(([t, note]): Line => ({ ...note, t })).toSorted((a, b) => a.t - b.t);

const token = (id: string, over: Partial<Omit<TokenSeen, 't'>> = {}): Note => ({
  kind: 'token',
  token: id,
  lineage: [],
  task: 'task-1',
  user: 'alice',
  agents: ['procurement-agent'],
  use: null,
  rev: { epoch: 'e1', seq: 4 },
  permissions: [{ actions: ['suppliers.read'], resources: ['erp/suppliers/*'] }],
  ...over,
});

let calls = 0;
type CallOver = { token?: string; pep?: string; action?: string; resource?: string };
/** A call that starts at `t` and is answered 10 ms later; `answer` null: nobody knows. */
const call = (t: number, answer: string | null, over: CallOver = {}): [number, Note][] => {
  const id = `c${++calls}`;
  const asked = {
    pep: 'erp-1',
    token: 'T',
    action: 'suppliers.read',
    resource: 'erp/suppliers/S-1',
    ...over,
  };
  return [
    [t, { kind: 'call', phase: 'invoke', call: id, ...asked }],
    answer === null
      ? [t + 10, { kind: 'call', phase: 'info', call: id }]
      : [t + 10, { kind: 'call', phase: 'ok', call: id, answer, decision: `d-${id}` }],
  ];
};

const revoke = (t: number, what: string, id: string, seq: number | null = 5): [number, Note][] => [
  [t - 5, { kind: 'revoke', phase: 'invoke', revoke: `${what}-${id}`, what, id }],
  seq === null
    ? [t, { kind: 'revoke', phase: 'info', revoke: `${what}-${id}` }]
    : [t, { kind: 'revoke', phase: 'ok', revoke: `${what}-${id}`, epoch: 'e1', seq }],
];

const fault = (from: number, to: number): [number, Note][] => [
  [from, { kind: 'fault', phase: 'begin', fault: 'f', says: 'nats is killed' }],
  [to, { kind: 'fault', phase: 'end', fault: 'f', says: 'nats is killed' }],
];
const blind = (from: number, to: number, pep = 'erp-1'): [number, Note][] => [
  [from, { kind: 'blind', phase: 'begin', pep }],
  [to, { kind: 'blind', phase: 'end', pep }],
];
const executed = (t: number, callId: string): [number, Note] => [
  t,
  { kind: 'executed', pep: 'erp-1', call: callId, decision: `d-${callId}` },
];
const row = (id: string, seq: number, decision = 'allow'): [number, Note] => [
  9_000_000,
  { kind: 'row', id, seq, decision },
];
const lastCall = (): string => `c${calls}`;

type Case = [title: string, invariant: InvariantId, history: () => Line[]];

const good: Case[] = [
  [
    'a call that began before the acknowledgement',
    'I2',
    () => at([0, token('T')], ...revoke(1_000, 'task', 'task-1'), ...call(999, 'allow')),
  ],
  [
    'a call within the promise',
    'I2',
    () => at([0, token('T')], ...revoke(1_000, 'task', 'task-1'), ...call(1_900, 'allow')),
  ],
  [
    'a late call while something is broken, within maxStaleMs',
    'I2',
    () =>
      at(
        [0, token('T')],
        ...fault(900, 5_000),
        ...revoke(1_000, 'task', 'task-1'),
        ...call(3_900, 'allow'),
      ),
  ],
  [
    'a late call of a harness that stood still',
    'I2',
    () =>
      at(
        [0, token('T')],
        ...revoke(1_000, 'task', 'task-1'),
        [3_000, { kind: 'lag', who: 'harness', ms: 1_500 }],
        ...call(3_100, 'allow'),
      ),
  ],
  [
    'a revocation that nobody acknowledged',
    'I2',
    () => at([0, token('T')], ...revoke(1_000, 'task', 'task-1', null), ...call(9_000, 'allow')),
  ],
  [
    'a token that was decided after the revocation of its agent',
    'I2',
    () =>
      at(
        [0, token('T', { rev: { epoch: 'e1', seq: 5 } })],
        ...revoke(1_000, 'agent', 'procurement-agent'),
        ...call(9_000, 'allow'),
      ),
  ],
  [
    'a token of an epoch that began after the revocation of its agent',
    'I2',
    () =>
      at(
        [2_000, token('T', { rev: { epoch: 'e2', seq: 0 } })],
        ...revoke(1_000, 'agent', 'procurement-agent'),
        ...call(9_000, 'allow'),
      ),
  ],
  [
    'a cut-off PEP that goes on for maxStaleMs',
    'I3',
    () => at(...blind(0, 9_000), ...call(3_100, 'allow')),
  ],
  [
    'a call that is decided after the PEP can hear again',
    'I3',
    () => at(...blind(0, 8_005), ...call(8_000, 'allow')),
  ],
  [
    'a PEP that is not the one cut off',
    'I3',
    () => at(...blind(0, 9_000, 'erp-2'), ...call(5_000, 'allow')),
  ],
  [
    'a use that is tried twice and allowed once',
    'I4',
    () => at([0, token('T', { use: 'u' })], ...call(10, 'allow'), ...call(20, 'single_use_spent')),
  ],
  ['a call that the token says', 'I5', () => at([0, token('T')], ...call(10, 'allow'))],
  [
    'a view that grows, over a restart and into a new epoch',
    'I6',
    () =>
      at(
        [1, { kind: 'seen', pep: 'erp-1', epoch: 'e1', seq: 3 }],
        [2, { kind: 'seen', pep: 'erp-1', epoch: 'e1', seq: 4 }],
        [3, { kind: 'seen', pep: 'erp-1', epoch: 'e2', seq: 0 }],
      ),
  ],
  [
    'a refusal that somebody asked for, though it was never acknowledged',
    'I7',
    () =>
      at([0, token('T')], ...revoke(1_000, 'task', 'task-1', null), ...call(2_000, 'task_revoked')),
  ],
  [
    'a PEP that allows again soon after the fault',
    'I8',
    () =>
      at(
        ...fault(0, 1_000),
        ...call(900, 'status_stale'),
        ...call(8_000, 'allow'),
        ...call(40_000, 'allow'),
      ),
  ],
  ['a ledger with every decision', 'I1', () => at(...call(10, 'allow'), row(`d-${lastCall()}`, 1))],
];

const bad: Case[] = [
  [
    'an allow after the promise',
    'I2',
    () => at([0, token('T')], ...revoke(1_000, 'task', 'task-1'), ...call(2_500, 'allow')),
  ],
  [
    'an allow after maxStaleMs, though everything is broken',
    'I2',
    () =>
      at(
        [0, token('T')],
        ...fault(0, 90_000),
        ...revoke(1_000, 'task', 'task-1'),
        ...call(4_400, 'allow'),
      ),
  ],
  [
    'work of a tool whose answer nobody saw',
    'I2',
    () => {
      const unanswered = call(9_000, null);
      return at(
        [0, token('T')],
        ...revoke(1_000, 'task', 'task-1'),
        ...unanswered,
        executed(9_005, lastCall()),
      );
    },
  ],
  [
    'a descendant of a revoked token',
    'I2',
    () =>
      at(
        [0, token('T', { lineage: ['P'] })],
        ...revoke(1_000, 'token', 'P'),
        ...call(9_000, 'allow'),
      ),
  ],
  [
    'a token that was decided before the revocation of its agent',
    'I2',
    () =>
      at([0, token('T')], ...revoke(1_000, 'agent', 'procurement-agent'), ...call(9_000, 'allow')),
  ],
  [
    'a token of an ended epoch',
    'I2',
    () => at([0, token('T')], [1_000, { kind: 'epoch', epoch: 'e2' }], ...call(9_000, 'allow')),
  ],
  [
    'an allow after a refusal as revoked, at the same PEP',
    'I2',
    () =>
      at(
        [0, token('T')],
        ...revoke(50, 'task', 'task-1', null),
        ...call(100, 'task_revoked'),
        ...call(200, 'allow'),
      ),
  ],
  ['an allow of a cut-off PEP', 'I3', () => at(...blind(0, 9_000), ...call(3_400, 'allow'))],
  [
    'an allow while nobody can hear the feed',
    'I3',
    () => at(...blind(0, 9_000, '*'), ...call(4_000, 'allow')),
  ],
  [
    'one use at two PEPs',
    'I4',
    () =>
      at(
        [0, token('T', { use: 'u' })],
        ...call(10, 'allow'),
        ...call(20, 'allow', { pep: 'erp-2' }),
      ),
  ],
  [
    'one use by a child',
    'I4',
    () =>
      at(
        [0, token('T', { use: 'u' })],
        [0, token('C', { use: 'u', lineage: ['T'] })],
        ...call(10, 'allow'),
        ...call(20, 'allow', { token: 'C' }),
      ),
  ],
  [
    'one use whose first answer got lost',
    'I4',
    () => {
      const lost = call(10, null);
      return at(
        [0, token('T', { use: 'u' })],
        ...lost,
        executed(15, lastCall()),
        ...call(20, 'allow'),
      );
    },
  ],
  [
    'an action that the token does not say',
    'I5',
    () => at([0, token('T')], ...call(10, 'allow', { action: 'suppliers.export' })),
  ],
  [
    'a resource that only the child says',
    'I5',
    () =>
      at(
        [0, token('P')],
        [
          0,
          token('T', {
            lineage: ['P'],
            permissions: [{ actions: ['suppliers.read'], resources: ['erp/payments/*'] }],
          }),
        ],
        ...call(10, 'allow', { resource: 'erp/payments/P-1' }),
      ),
  ],
  [
    'a view that goes back',
    'I6',
    () =>
      at(
        [1, { kind: 'seen', pep: 'erp-1', epoch: 'e1', seq: 4 }],
        [2, { kind: 'seen', pep: 'erp-1', epoch: 'e1', seq: 3 }],
      ),
  ],
  [
    'an epoch that returns',
    'I6',
    () =>
      at(
        [1, { kind: 'seen', pep: 'erp-1', epoch: 'e1', seq: 4 }],
        [2, { kind: 'seen', pep: 'erp-1', epoch: 'e2', seq: 0 }],
        [3, { kind: 'seen', pep: 'erp-1', epoch: 'e1', seq: 5 }],
      ),
  ],
  [
    'a refusal as revoked that nobody asked for',
    'I7',
    () =>
      at(
        [0, token('T')],
        [50, { kind: 'forged', says: 'an unsigned revocation', id: 'T' }],
        ...call(100, 'token_revoked'),
      ),
  ],
  [
    'a refusal as revoked before somebody asked',
    'I7',
    () => at([0, token('T')], ...call(100, 'task_revoked'), ...revoke(1_000, 'task', 'task-1')),
  ],
  [
    'a PEP that does not come back',
    'I8',
    () =>
      at(
        ...fault(0, 1_000),
        ...call(2_000, 'status_stale'),
        ...call(20_000, 'status_stale'),
        ...call(40_000, 'status_stale'),
      ),
  ],
  ['a decision that is not in the ledger', 'I1', () => at(...call(10, 'allow'), row('d-other', 1))],
  [
    'a decision that is there twice',
    'I1',
    () => at(...call(10, 'allow'), row(`d-${lastCall()}`, 1), row(`d-${lastCall()}`, 2)),
  ],
  [
    'an allow that the ledger calls a deny',
    'I1',
    () => at(...call(10, 'allow'), row(`d-${lastCall()}`, 1, 'deny')),
  ],
  [
    'a gap in the ledger',
    'I1',
    () => at(...call(10, 'allow'), row(`d-${lastCall()}`, 1), row('d-x', 3)),
  ],
];

describe('the checkers', () => {
  test.each(good)('%s is no violation (%s)', (_title, _invariant, history) => {
    expect(judge(history())).toEqual([]);
  });

  test.each(bad)('%s is one of %s', (_title, invariant, history) => {
    expect(judge(history()).map((violation) => violation.invariant)).toContain(invariant);
    // Only that one, so that a red run says what broke.
    expect(new Set(judge(history()).map((violation) => violation.invariant)).size).toBe(1);
  });

  test('has a bad history for every invariant', () => {
    expect([...new Set(bad.map(([, invariant]) => invariant))].toSorted()).toEqual(
      Object.keys(INVARIANTS),
    );
  });
});
