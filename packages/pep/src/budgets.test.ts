import type { Budget, Capability } from '@remit/capability/token';
import type { ReserveRequest, ReserveResponse } from '@remit/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { checkFixture, READ } from './check.testing.ts';
import type { Allowed } from './enforce.ts';
import { guard } from './guard.ts';
import { nothingDone } from './index.ts';

type Fixture = Awaited<ReturnType<typeof checkFixture>>;
let f: Fixture;
beforeEach(async () => {
  f = await checkFixture();
  f.start();
  f.state.reserve = async () => ({ outcome: 'reserved' });
  f.state.consume = async () => ({ outcome: 'consumed' });
});

const CALLS: Budget = { id: 'calls-of-task', unit: 'calls' };
const EUR: Budget = { id: 'eur-of-user', unit: 'EUR', path: 'amount' };
const ORDER = { action: 'orders.create', resource: 'erp/orders', args: { amount: 12.5 } };

async function call(
  asked: { action: string; resource: string; args: unknown } = READ,
  claims: Partial<Capability> = { budgets: [CALLS] },
) {
  return f.pep.decide(f.present(f.sign(f.claims(claims))), asked);
}
const order = (args: unknown, budgets: Budget[] = [EUR]) => call({ ...ORDER, args }, { budgets });
const reasonOf = (answer: Awaited<ReturnType<typeof call>>) =>
  answer.allow ? 'permitted' : answer.reason;
const attemptOf = (at = 0) => (f.state.reservations[at] as ReserveRequest).attempt;
const answering = (answer: ReserveResponse) => {
  f.state.reserve = async () => answer;
};

describe('a token with budgets', () => {
  // Goes red when decide() does not reserve, or enforce() does not commit before the tool may run.
  it('has each of them charged, and what is charged spent before the tool may run', async () => {
    const claims = f.claims({ budgets: [CALLS, EUR] });
    const answer = await f.pep.decide(f.present(f.sign(claims)), ORDER);
    expect(answer).toMatchObject({ allow: true });
    expect(f.state.reservations).toEqual([
      {
        attempt: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
        audience: 'https://erp.example',
        charges: [
          { id: 'calls-of-task', unit: 'calls', amount: 10_000 },
          { id: 'eur-of-user', unit: 'EUR', amount: 125_000 },
        ],
        token: expect.objectContaining({ jti: claims.id, exp: claims.expiresAt }),
      },
    ]);
    expect(f.state.settled).toEqual([`commit ${attemptOf()}`]);
    expect(f.records.map(({ decision, detail }) => [decision, detail])).toEqual([
      [
        'allow',
        {
          budgets: 'calls-of-task eur-of-user',
          spending: 'reserved',
          spending_attempt: attemptOf(),
        },
      ],
    ]);
  });

  it('names a new attempt for each call', async () => {
    await call();
    await call();
    expect(attemptOf(0)).not.toBe(attemptOf(1));
  });

  it('is refused when one has too little left, 403, without a word that another token would help', async () => {
    answering({ outcome: 'exceeded', budget: 'calls-of-task' });
    const answer = await call();
    expect(answer).toMatchObject({
      allow: false,
      reason: 'budget_exceeded',
      status: 403,
      explanation: 'A budget of the token has less left than the call would spend.',
    });
    expect(JSON.stringify(answer)).not.toContain('insufficient_scope');
    expect(f.records).toMatchObject([
      { decision: 'deny', reason: 'budget_exceeded', detail: { budget: 'calls-of-task' } },
    ]);
    expect(f.state.settled).toEqual([]);
  });

  it.each([
    [{ outcome: 'unknown', budget: 'calls-of-task' }, 'budget_unavailable'],
    [{ outcome: 'ended' }, 'budget_unavailable'],
    [
      { outcome: 'revoked', revoked: { kind: 'user', id: 'alice', ancestor: false } },
      'user_revoked',
    ],
    [
      { outcome: 'revoked', revoked: { kind: 'token', id: 'x', ancestor: true } },
      'ancestor_revoked',
    ],
  ] as const)('is refused when the ledger answers %j', async (answer, reason) => {
    answering(answer);
    expect(reasonOf(await call())).toBe(reason);
    expect(f.state.settled).toEqual([]);
  });

  // Goes red when an answer that is missing counts as one that says yes.
  it('is refused when no answer is had, 503, and what may be held is released', async () => {
    f.state.reserve = undefined;
    expect(await call()).toMatchObject({ reason: 'budget_unavailable', status: 503 });
    expect(f.state.settled).toEqual([`release ${attemptOf()}`]);
    expect(f.records).toMatchObject([
      { decision: 'deny', detail: { spending: 'unanswered', spending_attempt: attemptOf() } },
    ]);
  });

  it('asks nobody where another check refuses, and a token without budgets asks nobody', async () => {
    await call({ ...READ, resource: 'erp/suppliers/S-1' });
    await order({ amount: 5_001 });
    await call(READ, {});
    await call(READ, { budgets: [] });
    expect(f.state.reservations).toEqual([]);
  });
});

describe('the amount of a call', () => {
  it('is the number at the path, exact to four decimals', async () => {
    const amounts = [0, 1, 0.1, 4.35, 1234.5678];
    for (const amount of amounts) expect(reasonOf(await order({ amount }))).toBe('permitted');
    expect(f.state.reservations.map(({ charges }) => charges[0]?.amount)).toEqual([
      0, 10_000, 1_000, 43_500, 12_345_678,
    ]);
  });

  // Goes red when a missing amount counts as nothing.
  it('must be there, exact and not negative, else nothing is asked and the call refused', async () => {
    for (const path of ['missing', 'amount.value', 'toString', '__proto__', 'amount.']) {
      const answer = await order({ amount: 1 }, [{ ...EUR, path }]);
      expect(reasonOf(answer), path).toBe('budget_amount');
    }
    for (const amount of [-1, -0.0001]) {
      expect(reasonOf(await order({ amount })), String(amount)).toBe('budget_amount');
    }
    expect(await order({ amount: -1 })).toMatchObject({ status: 403, reason: 'budget_amount' });
    expect(f.state.reservations).toEqual([]);
    expect(f.records.every(({ decision }) => decision === 'deny')).toBe(true);
  });

  it('stands in no record but as an argument', async () => {
    await order({ amount: 1234.5678 });
    const [{ operation: _, ...rest } = {}] = f.records;
    expect(JSON.stringify(rest)).not.toMatch(/1234|12345678/);
  });
});

describe('what a call holds that does not happen after all', () => {
  const once = { budgets: [CALLS], singleUse: 'u'.repeat(22) };

  it('is given back when the single use, which comes last, is spent', async () => {
    f.state.consume = async () => ({ outcome: 'spent' });
    expect(reasonOf(await call(READ, once))).toBe('single_use_spent');
    expect(f.state.settled).toEqual([`release ${attemptOf()}`]);
  });

  it('leaves the single use where a budget refuses', async () => {
    answering({ outcome: 'exceeded', budget: 'calls-of-task' });
    await call(READ, once);
    expect(f.state.consumptions).toEqual([]);
  });

  it('is given back when the token dies meanwhile, whatever the ledger says', async () => {
    const claims = f.claims({ budgets: [CALLS] });
    f.state.reserve = async () => {
      f.entry({ kind: 'token', id: claims.id });
      return { outcome: 'reserved' };
    };
    const answer = await f.pep.decide(f.present(f.sign(claims)), READ);
    expect(reasonOf(answer)).toBe('token_revoked');
    expect(f.state.settled).toEqual([`release ${attemptOf()}`]);
  });

  // Goes red when enforce() lets a call through whose record can't be kept, or keeps its money.
  it('is given back when the record cannot be kept', async () => {
    f.state.recording = async () => {
      throw new Error('full');
    };
    expect(reasonOf(await call())).toBe('audit_unavailable');
    await expect
      .poll(() => f.state.settled)
      .toEqual([`commit ${attemptOf()}`, `release ${attemptOf()}`]);
  });

  it('is given back when the token is revoked while it is recorded', async () => {
    const claims = f.claims({ budgets: [CALLS] });
    f.state.recording = async ({ reason }) => {
      if (reason === 'permitted') f.entry({ kind: 'token', id: claims.id });
    };
    expect(reasonOf(await f.pep.decide(f.present(f.sign(claims)), READ))).toBe('token_revoked');
    await expect
      .poll(() => f.state.settled)
      .toEqual([`commit ${attemptOf()}`, `release ${attemptOf()}`]);
  });

  // Goes red when enforce() does not wait for the commit: a tool would run on what may expire.
  it('refuses the call when it cannot be spent for certain, with a record that corrects the first', async () => {
    for (const outcome of ['expired', 'unknown', 'released', undefined]) {
      f.records.length = 0;
      f.state.settle = async (method) => {
        if (method === 'commit' && outcome === undefined) throw new Error('no answer');
        return method === 'commit' ? (outcome as string) : 'released';
      };
      expect(reasonOf(await call()), outcome).toBe('budget_unavailable');
      const [first, second] = f.records;
      expect(first).toMatchObject({ decision: 'allow' });
      expect(second).toMatchObject({
        decision: 'deny',
        reason: 'budget_unavailable',
        decision_id: first?.id,
      });
    }
  });
});

describe('when the tool is done', () => {
  const spec = { action: READ.action, resource: () => READ.resource, args: () => ({}) };
  const run = async (handler: (allowed: Allowed) => unknown) => {
    const guarded = guard(f.pep, spec, handler);
    const presented = f.present(f.sign(f.claims({ budgets: [CALLS] })));
    await guarded(presented, undefined).catch(() => undefined);
    return f.records.at(-1)?.detail;
  };

  it('its amount stays spent, also when it failed: how far it came is not known', async () => {
    expect(await run(() => 'done')).toMatchObject({ outcome: 'ok', spending: 'committed' });
    const fails = () => {
      throw new Error('half-way');
    };
    expect(await run(fails)).toMatchObject({ outcome: 'failed', spending: 'committed' });
    expect(f.state.settled).toEqual([`commit ${attemptOf(0)}`, `commit ${attemptOf(1)}`]);
  });

  it('its amount is given back when it says that nothing was done, and once', async () => {
    const refuses = (allowed: Allowed) => {
      nothingDone(allowed);
      throw new Error('out of stock');
    };
    expect(await run(refuses)).toMatchObject({ outcome: 'failed', spending: 'released' });
    expect(f.state.settled).toEqual([`commit ${attemptOf()}`, `release ${attemptOf()}`]);
  });

  it('says that an amount stays spent which could not be given back', async () => {
    f.state.settle = async (method) => {
      if (method === 'release') throw new Error('no answer');
      return 'committed';
    };
    expect(await run(nothingDone)).toMatchObject({ outcome: 'ok', spending: 'committed' });
  });

  it('nothing is given back of a call that had no budget', async () => {
    const answer = await call(READ, {});
    if (!answer.allow) throw new Error('refused');
    nothingDone(answer);
    await f.pep.finished(answer, 'ok', 1);
    expect(f.state.settled).toEqual([]);
    expect(f.records.at(-1)?.detail).not.toHaveProperty('spending');
  });
});
