import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Verifier } from '@remit/bus';
import { LIMITS, parseOperation } from '@remit/capability/scope';
import { parseJsonStrict } from '@remit/contracts';
import { createRecorder, type RecordInput } from '@remit/recorder';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIENCE, checkFixture } from './check.testing.ts';
import { decide } from './decide.ts';
import { callRecord, isRecordable } from './record.ts';

// The real recorder over a bus that keeps what it is given and carries what NATS carries.
const dir = mkdtempSync(join(tmpdir(), 'remit-pep-record-'));
const sent: string[] = [];
const recorder = createRecorder({
  bus: {
    user: 'erp-1',
    subscribe: () => ({ received: () => 0, stop: () => {} }),
    status: () => 'connected',
    onStatus: () => () => {},
    publishRecord: async (_subject, bytes) => {
      if (Buffer.byteLength(bytes) > 1_048_576) throw new Error('too large');
      sent.push(String(bytes));
      return 'acked';
    },
  },
  producer: { service: 'erp-1', instance: 'i', version: '1' },
  spoolDir: dir,
  markVerifier: {} as Verifier,
});
afterAll(async () => {
  await recorder.close();
  rmSync(dir, { recursive: true });
});

let f: Awaited<ReturnType<typeof checkFixture>>;
beforeAll(async () => {
  f = await checkFixture();
  f.start();
});

const orders = (args: unknown) => ({ action: 'orders.create', resource: 'erp/orders', args });
const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) });

/** Decides a call and gives its record to the recorder, as the PEP does. */
async function recorded(asked: { action: string; resource: string; args: unknown }) {
  const finding = await decide(f.deps, f.present(f.sign(f.claims())), asked);
  if (!finding.caller) throw new Error('the caller is not known');
  const input: RecordInput = callRecord(
    { id: crypto.randomUUID(), audience: AUDIENCE, asked, latencyUs: 1, rev: undefined },
    finding,
    finding.caller,
  );
  const { home } = await recorder.record('acme', input);
  return { reason: finding.reason, home, input };
}

// Goes red without isRecordable() in decide(): such a record never reaches the ledger, and the commit
// mark never passes it, so one call of anybody with a token ends in a full spool.
describe('a call whose record could not be carried or read', () => {
  const cases: [string, unknown][] = [
    ['nested as deep as arguments may be', { a: nested(LIMITS.argumentDepth - 1) }],
    [
      'with as many arguments as there may be',
      Object.fromEntries(Array.from({ length: 9_900 }, (_, n) => [`k${n}`, n])),
    ],
    ['with text that grows in JSON', { a: '\u0001'.repeat(262_000) }],
    ['with text that has no UTF-8', { a: 'x\ud800' }],
    ['with a key that has no UTF-8', { a: { 'x\ud800': 1 } }],
  ];
  it.each(cases)('%s is refused as arguments_invalid, and has a record', async (_title, args) => {
    expect(parseOperation(orders(args)).action).toBe('orders.create');
    expect(await recorded(orders(args))).toMatchObject({
      reason: 'arguments_invalid',
      home: 'bus',
      input: { decision: 'deny', operation: { action: 'orders.create', resource: 'erp/orders' } },
    });
  });

  it('has one too when its resource breaks off in the middle of a character', async () => {
    const resource = `erp/${'x'.repeat(507)}\u{1F600}`;
    expect(await recorded({ action: 'orders.create', resource, args: {} })).toMatchObject({
      reason: 'arguments_invalid',
      home: 'bus',
    });
  });

  it('has one too when the tool’s own callbacks gave nonsense', async () => {
    const asked = { action: 7, resource: undefined, args: null } as never;
    expect(await recorded(asked)).toMatchObject({ reason: 'arguments_invalid', home: 'bus' });
  });
});

it('what is recordable is carried by the bus and parsed by the ledger, whatever the arguments', async () => {
  const value = fc.anything({
    maxDepth: 30,
    maxKeys: 3,
    key: fc.string({ minLength: 1, unit: 'binary' }),
    values: [fc.string({ unit: 'binary' }), fc.integer(), fc.boolean(), fc.constant(null)],
  });
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.string({ minLength: 1 }), value, { maxKeys: 5 }),
      async (args) => {
        let operation: ReturnType<typeof parseOperation>;
        try {
          operation = parseOperation(orders(args));
        } catch {
          return;
        }
        if (!isRecordable(operation)) return;
        const before = sent.length;
        await recorder.record('acme', {
          event: 'decision',
          decision: 'deny',
          reason: 'x',
          operation,
        });
        expect(sent).toHaveLength(before + 1);
        expect(parseJsonStrict(sent.at(-1) as string)).toMatchObject({ specversion: '1.0' });
      },
    ),
    { numRuns: 200 },
  );
});
