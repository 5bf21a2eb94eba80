import { beforeEach, describe, expect, it } from 'vitest';
import { checkFixture } from './check.testing.ts';
import { AccessDenied } from './denied.ts';
import type { Allowed } from './enforce.ts';
import { guard } from './guard.ts';

let f: Awaited<ReturnType<typeof checkFixture>>;
let ran: Allowed[];
beforeEach(async () => {
  f = await checkFixture();
  f.start();
  ran = [];
});

type Input = { amount: number };
const spec = {
  action: 'orders.create',
  resource: () => 'erp/orders',
  args: ({ amount }: Input) => ({ amount }),
};
const createOrder = () =>
  guard(f.pep, spec, async (call) => {
    ran.push(call);
    return `ordered ${String(call.operation.args['amount'])}`;
  });

describe('a guarded function', () => {
  it('runs with the frozen operation that was checked, not with the input', async () => {
    const input = { amount: 10 };
    f.state.recording = async () => {
      input.amount = 1_000_000;
    };
    expect(await createOrder()(f.present(f.sign(f.claims())), input)).toBe('ordered 10');
    expect(Object.isFrozen(ran[0]?.operation.args)).toBe(true);
    expect(f.records).toMatchObject([
      { decision: 'allow' },
      { event: 'call.finished', decision_id: ran[0]?.id, detail: { outcome: 'ok' } },
    ]);
  });

  it('throws AccessDenied with what may be shown, and does not run', async () => {
    const denied = createOrder()(f.present(f.sign(f.claims())), { amount: 9_000 });
    await expect(denied).rejects.toBeInstanceOf(AccessDenied);
    await expect(denied).rejects.toMatchObject({
      refused: { reason: 'scope_constraint', status: 403, id: f.records[0]?.id },
      message: expect.not.stringContaining('5000'),
    });
    const { id } = f.records[0] as { id: string };
    await expect(denied).rejects.toMatchObject({
      code: 'scope_constraint',
      message: [
        'orders.create on erp/orders is permitted, but the argument "amount" is above what is allowed, or not a number.',
        '  code       scope_constraint (docs/error-codes.md#scope_constraint)',
        '  dimension  task',
        '  asked      orders.create on erp/orders',
        `  decision   ${id} (npm run -s dev -- record ${id})`,
      ].join('\n'),
    });
    expect(ran).toEqual([]);
    expect(f.records).toMatchObject([{ decision: 'deny', reason: 'scope_constraint' }]);
  });

  it('passes on what the handler throws, and records that the call failed', async () => {
    const failing = guard(f.pep, spec, () => {
      throw new Error('no stock');
    });
    await expect(failing(f.present(f.sign(f.claims())), { amount: 1 })).rejects.toThrow('no stock');
    expect(f.records[1]).toMatchObject({ event: 'call.finished', detail: { outcome: 'failed' } });
  });

  // Goes red when printable() is taken out: a resource could then fake a line of the message.
  it('keeps a name from outside on its line', async () => {
    const spoofed = guard(
      f.pep,
      { ...spec, resource: () => 'erp\n  code       permitted' },
      () => 1,
    );
    const denied = spoofed(f.present(f.sign(f.claims())), { amount: 1 });
    await expect(denied).rejects.toThrow(/^ {2}asked {6}orders\.create on erp {2}code/m);
  });

  // Goes red when the callbacks run outside askedOf(): the error leaves no record.
  it('refuses and records a call whose arguments could not be read', async () => {
    const broken = guard(f.pep, spec, (call) => ran.push(call));
    const denied = broken(f.present(f.sign(f.claims())), undefined as never);
    await expect(denied).rejects.toMatchObject({
      refused: { reason: 'arguments_invalid', status: 400 },
      cause: expect.any(TypeError),
    });
    expect(ran).toEqual([]);
    expect(f.records).toMatchObject([{ decision: 'deny', reason: 'arguments_invalid' }]);
  });

  it('refuses arguments that are a promise, which would read as none', async () => {
    const later = guard(f.pep, { ...spec, args: async () => ({ amount: 1 }) }, (call) =>
      ran.push(call),
    );
    await expect(later(f.present(f.sign(f.claims())), { amount: 1 })).rejects.toMatchObject({
      refused: { reason: 'arguments_invalid' },
    });
    expect(ran).toEqual([]);
  });
});
