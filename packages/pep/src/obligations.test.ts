import { runInNewContext } from 'node:vm';
import type { EvaluateResponse, Obligation } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { checkFixture, RATE } from './check.testing.ts';
import { createObligations, type ObligationHandlers } from './obligations.ts';

const redact: Obligation = { id: 'no-iban', type: 'redact', properties: { fields: 'iban' } };
const log: Obligation = { id: 'more', type: 'log', properties: {} };
const allow = { agent: 'allow', user: 'allow', task: 'allow', policies: 'allow' } as const;
const deny = { ...allow, policies: 'deny' } as const;

async function opened(handlers: ObligationHandlers, answers: Partial<EvaluateResponse>[]) {
  const f = await checkFixture({ obligations: handlers });
  f.start();
  const rest = [...answers];
  f.state.pdpAnswer = async () => (rest.length > 1 ? rest.shift() : rest[0]) ?? {};
  const call = () => f.pep.decide(f.present(f.sign(f.claims())), RATE);
  return { f, call };
}
const allowed = (...obligations: Obligation[]): Partial<EvaluateResponse> => ({
  decision: 'allow',
  dimensions: allow,
  obligations,
});

describe('a call that is allowed with obligations', () => {
  it('happens after each was fulfilled, and its record says which', async () => {
    const done: unknown[] = [];
    const { f, call } = await opened(
      {
        redact: (one, { action }) => void done.push([one, action]),
        log: async (one) => void done.push(one.type),
      },
      [allowed(redact, log)],
    );
    expect(await call()).toMatchObject({ allow: true, obligations: [redact, log] });
    expect(done).toEqual([[redact, RATE.action], 'log']);
    expect(f.records).toMatchObject([{ decision: 'allow', obligations: [redact, log] }]);
  });

  // Skip the handlers, or let one that is missing count as done, and these go red.
  it('does not happen where one has no handler, and none is begun', async () => {
    const done: string[] = [];
    const { f, call } = await opened({ log: (one) => void done.push(one.type) }, [
      allowed(log, redact),
    ]);
    expect(await call()).toMatchObject({
      allow: false,
      reason: 'obligation_unfulfilled',
      status: 403,
    });
    expect(done).toEqual([]);
    expect(f.records).toMatchObject([
      { decision: 'deny', reason: 'obligation_unfulfilled', obligations: [log, redact] },
    ]);
  });

  it('does not happen where a handler fails', async () => {
    for (const handler of [
      () => {
        throw new Error('no');
      },
      () => Promise.reject(new Error('no')),
      // Red when only promises of this realm are waited for, as libraries have others.
      () => runInNewContext('Promise.reject(1)') as Promise<void>,
    ]) {
      const { call } = await opened({ redact: handler }, [allowed(redact)]);
      expect(await call()).toMatchObject({ allow: false, reason: 'obligation_unfulfilled' });
    }
  });

  it('does not happen with an obligation that nobody has heard of, or that goes with a deny', async () => {
    for (const type of ['approval', 'toString', 'self_destruct']) {
      const { call } = await opened({ log: () => undefined }, [
        allowed({ ...log, type } as Obligation),
      ]);
      expect(await call(), type).toMatchObject({ allow: false, reason: 'obligation_unfulfilled' });
    }
  });

  it('does not happen when it is asked again and more is asked for', async () => {
    const { f, call } = await opened({ log: () => undefined, redact: () => undefined }, [
      allowed(log),
      allowed(log, redact),
    ]);
    f.state.recording = async () => {
      // Facts change while the record is written.
      f.entry({ kind: 'tenant', id: 'acme', verb: 'recheck', ends: 2_000_000_000 });
      f.state.recording = async () => undefined;
    };
    expect(await call()).toMatchObject({ allow: false, reason: 'obligation_unfulfilled' });
    expect(f.records).toMatchObject([
      { decision: 'allow' },
      { decision: 'deny', obligations: [log, redact] },
    ]);
  });
});

describe('a call that is refused with a remedy', () => {
  it('tells the caller what would help, and not which guardrail asks for it', async () => {
    const stepUp: Obligation = { id: 'guardrail-7', type: 'step_up', properties: { acr: 'phr' } };
    const { f, call } = await opened({}, [
      { decision: 'deny', reason: 'step_up_required', dimensions: deny, obligations: [stepUp] },
    ]);
    const refused = await call();
    expect(refused).toMatchObject({
      allow: false,
      reason: 'step_up_required',
      status: 403,
      dimension: 'policies',
      remedies: [{ type: 'step_up', properties: { acr: 'phr' } }],
    });
    expect(JSON.stringify(refused)).not.toContain('guardrail-7');
    expect(f.records).toMatchObject([{ obligations: [stepUp] }]);
  });
});

describe('what the PDP is told of a call', () => {
  it('is what the tool attests, its address where it is one, and the token’s approval', async () => {
    const f = await checkFixture();
    f.start();
    f.state.pdpAnswer = async () => allowed();
    const ask = (more: object) =>
      f.pep.decide(f.present(f.sign(f.claims({ approval: 'appr_1' })), more), RATE);
    await ask({ source: '10.1.2.3', signals: { risk: 7 } });
    await ask({ source: 'unix:@' });
    await ask({ source: '10.1.2.3', signals: { ip: '192.0.2.1' } });
    expect(f.state.pdp).toMatchObject([
      { signals: { ip: '10.1.2.3', risk: 7 }, approval: 'appr_1' },
      { approval: 'appr_1' },
      { signals: { ip: '192.0.2.1' } },
    ]);
    expect(f.state.pdp[1]).not.toHaveProperty('signals');
  });
});

describe('handlers of obligations', () => {
  it('are of the known kinds, and functions', () => {
    for (const handlers of [
      { approval: () => undefined },
      { redact: 'yes' },
      { toString: () => undefined },
    ])
      expect(() => createObligations(handlers as never)).toThrow(
        expect.objectContaining({ code: 'CONFIG_INVALID' }),
      );
  });
});
