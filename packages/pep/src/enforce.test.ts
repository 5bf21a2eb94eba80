import { beforeEach, describe, expect, it } from 'vitest';
import { checkFixture, RATE, READ } from './check.testing.ts';

type Fixture = Awaited<ReturnType<typeof checkFixture>>;
let f: Fixture;
beforeEach(async () => {
  f = await checkFixture();
  f.start();
});

const order = (amount: unknown) => ({
  action: 'orders.create',
  resource: 'erp/orders',
  args: { amount },
});

describe('an allowed call', () => {
  it('has one record before it may happen, and says who, for whom and for which task', async () => {
    const claims = f.claims();
    const call = await f.pep.decide(f.present(f.sign(claims)), READ);
    expect(call).toMatchObject({
      allow: true,
      principal: 'alice',
      actors: ['procurement-agent'],
      task: claims.task,
      operation: READ,
    });
    expect(f.records).toMatchObject([
      {
        id: call.id,
        event: 'decision',
        decision: 'allow',
        reason: 'permitted',
        principal: 'alice',
        actor: 'procurement-agent',
        task: claims.task,
        token: { jti: claims.id, alg: 'ML-DSA-65', kid: f.issuerKey.kid, jkt: f.holder.kid },
        operation: READ,
      },
    ]);
    expect(f.strangers).toEqual([]);
  });

  it('gets a second record when it ended, which names the first', async () => {
    const call = await f.pep.decide(f.present(f.sign(f.claims())), READ);
    if (!call.allow) throw new Error(call.reason);
    await f.pep.finished(call, 'failed', 1.23456);
    expect(f.records[1]).toMatchObject({
      event: 'call.finished',
      decision_id: call.id,
      detail: { outcome: 'failed', duration_ms: 1.235 },
    });
  });

  it('is over also when its end can’t be recorded', async () => {
    const call = await f.pep.decide(f.present(f.sign(f.claims())), READ);
    if (!call.allow) throw new Error(call.reason);
    f.state.recording = () => Promise.reject(new Error('full'));
    await expect(f.pep.finished(call, 'ok', 1)).resolves.toBeUndefined();
  });
});

describe('a call whose record can’t be kept', () => {
  beforeEach(() => {
    f.state.recording = () => Promise.reject(new Error('full'));
  });

  // Goes red when decide() no longer waits for the record.
  it('is refused as audit_unavailable when it would have been allowed', async () => {
    expect(await f.pep.decide(f.present(f.sign(f.claims())), READ)).toMatchObject({
      allow: false,
      reason: 'audit_unavailable',
      status: 503,
    });
    expect(f.records).toEqual([]);
  });

  it('stays the refusal that it was when it would have been refused', async () => {
    expect(await f.pep.decide(f.present(f.sign(f.claims())), order(9_000))).toMatchObject({
      allow: false,
      reason: 'scope_constraint',
      status: 403,
    });
  });
});

describe('a call that dies while its record is written', () => {
  // Goes red without standingOf() after the record.
  const deaths: [string, (claims: ReturnType<Fixture['claims']>) => void, string][] = [
    ['because it is revoked', ({ task }) => f.entry({ kind: 'task', id: task.id }), 'task_revoked'],
    ['because the feed fell silent', () => (f.state.nowMs += 3_100), 'status_stale'],
    [
      'because it expired',
      () => {
        f.state.nowMs += 300_000;
        f.hearFeed();
      },
      'token_expired',
    ],
  ];
  it.each(deaths)(
    '%s is refused, with a second record that names the first',
    async (_why, dies, reason) => {
      const claims = f.claims();
      f.state.recording = async () => {
        if (f.records.length === 0) dies(claims);
      };
      const refused = await f.pep.decide(f.present(f.sign(claims)), READ);
      expect(refused).toMatchObject({ allow: false, reason });
      expect(f.records).toMatchObject([
        { id: refused.id, decision: 'allow', reason: 'permitted' },
        { decision: 'deny', reason, decision_id: refused.id },
      ]);
      expect(f.records[1]?.id).not.toBe(refused.id);
    },
  );

  // Red when the second judgement takes `recheck` for `live`: the facts that the record rests on are over.
  it('because facts changed asks the PDP, also when it was asked before', async () => {
    for (const operation of [READ, RATE]) {
      f = await checkFixture();
      f.start();
      let answer: 'allow' | 'deny' = 'allow';
      const dimensions = {
        agent: 'allow',
        user: 'deny',
        task: 'allow',
        policies: 'allow',
      } as const;
      f.state.pdpAnswer = async () => ({
        decision: answer,
        reason: 'user_entitlement',
        dimensions,
      });
      f.state.recording = async () => {
        if (f.records.length > 0) return;
        answer = 'deny';
        f.entry({ kind: 'tenant', id: 'acme', verb: 'recheck' });
      };
      const refused = await f.pep.decide(f.present(f.sign(f.claims())), operation);
      expect(refused).toMatchObject({ allow: false, reason: 'user_entitlement', status: 403 });
      expect(f.records).toMatchObject([
        { id: refused.id, decision: 'allow' },
        { decision: 'deny', reason: 'user_entitlement', decision_id: refused.id },
      ]);
      expect(f.state.pdp).toHaveLength(operation === RATE ? 2 : 1);
    }
  });

  it('not at all when the PDP still allows it, and is asked once for each change', async () => {
    f.state.pdpAnswer = async () => ({ decision: 'allow' });
    f.state.recording = async () => f.entry({ kind: 'tenant', id: 'acme', verb: 'recheck' });
    const token = f.sign(f.claims());
    expect(await f.pep.decide(f.present(token), READ)).toMatchObject({ allow: true });
    expect(f.state.pdp).toHaveLength(1);
    f.state.recording = async () => {};
    expect(await f.pep.decide(f.present(token), READ)).toMatchObject({ allow: true });
    expect(f.state.pdp).toHaveLength(2);
  });

  it('because facts don’t stop changing, or the PDP can’t be asked about them', async () => {
    f.state.recording = async () => f.entry({ kind: 'tenant', id: 'acme', verb: 'recheck' });
    expect(await f.pep.decide(f.present(f.sign(f.claims())), READ)).toMatchObject({
      reason: 'pdp_unavailable',
    });
    f.state.pdpAnswer = async () => {
      f.entry({ kind: 'tenant', id: 'acme', verb: 'recheck' });
      return { decision: 'allow' };
    };
    expect(await f.pep.decide(f.present(f.sign(f.claims())), READ)).toMatchObject({
      reason: 'status_behind',
      status: 503,
    });
  });

  it('is refused also when the second record can’t be kept', async () => {
    const claims = f.claims();
    f.state.recording = async () => {
      if (f.records.length > 0) throw new Error('full');
      f.entry({ kind: 'task', id: claims.task.id });
    };
    expect(await f.pep.decide(f.present(f.sign(claims)), READ)).toMatchObject({
      allow: false,
      reason: 'task_revoked',
    });
  });
});

describe('a stranger', () => {
  it('is counted by where it came from and leaves no record', async () => {
    const presented = f.present('junk', { source: '192.0.2.7' });
    expect(await f.pep.decide(presented, READ)).toMatchObject({
      allow: false,
      reason: 'token_malformed',
      status: 401,
    });
    expect(f.records).toEqual([]);
    expect(f.strangers).toEqual([{ source: '192.0.2.7', reason: 'token_malformed' }]);
  });

  // Goes red when an error of countStranger() gets out: a recorder that is closed throws.
  it('is refused, not met with an error, when it can’t be counted', async () => {
    f.strangers.push = () => {
      throw new Error('closed');
    };
    expect(await f.pep.decide(f.present('junk'), READ)).toMatchObject({
      reason: 'token_malformed',
    });
  });
});

describe('what a refusal tells the caller', () => {
  it('is its own request and the argument’s path, never a bound', async () => {
    const refused = await f.pep.decide(f.present(f.sign(f.claims())), order(9_000));
    expect(refused).toEqual({
      allow: false,
      id: refused.id,
      reason: 'scope_constraint',
      explanation: expect.stringContaining('"amount"'),
      dimension: 'task',
      status: 403,
      challenge:
        'DPoP error="insufficient_scope", algs="ES256 Ed25519", resource_metadata="https://erp.example/.well-known/oauth-protected-resource"',
    });
    expect(JSON.stringify(refused)).not.toContain('5000');
    expect(JSON.stringify(refused)).not.toMatch(/suppliers/);
    expect(f.records[0]).toMatchObject({
      miss: { kind: 'constraint', path: 'amount', test: 'max' },
    });
  });

  it('is the dimension that the PDP names, never its policies', async () => {
    f.state.pdpAnswer = async () => ({
      decision: 'deny',
      reason: 'policy_forbid',
      policies: ['secret-policy'],
      dimensions: { agent: 'allow', user: 'allow', task: 'allow', policies: 'deny' },
    });
    const asked = { ...READ, action: 'suppliers.rate' };
    const refused = await f.pep.decide(f.present(f.sign(f.claims())), asked);
    expect(refused).toMatchObject({ reason: 'policy_forbid', dimension: 'policies', status: 403 });
    expect(JSON.stringify(refused)).not.toContain('secret-policy');
    expect(f.records[0]).toMatchObject({ policies: ['secret-policy'] });
  });
});
