import type { ConsumeRequest, ConsumeResponse } from '@remit/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { checkFixture, RATE, READ } from './check.testing.ts';
import { decide } from './decide.ts';
import { callRecord } from './record.ts';

type Fixture = Awaited<ReturnType<typeof checkFixture>>;
let f: Fixture;
beforeEach(async () => {
  f = await checkFixture();
  f.start();
  f.state.consume = store();
});

const USE = 'u'.repeat(22);
const dimensions = { agent: 'allow', user: 'allow', task: 'allow', policies: 'allow' } as const;

/** What the revocation service does: the first attempt has the use, for ever. */
function store(): (asked: ConsumeRequest) => Promise<ConsumeResponse> {
  const owners = new Map<string, string>();
  return async ({ use_id, attempt }) => {
    const owner = owners.get(use_id) ?? attempt;
    owners.set(use_id, owner);
    return { outcome: owner === attempt ? 'consumed' : 'spent' };
  };
}

const once = (partial: Parameters<Fixture['claims']>[0] = {}, on = f) =>
  on.sign(on.claims({ singleUse: USE, ...partial }));
const call = (token: string, asked = READ, partial = {}, on = f) =>
  decide(on.deps, on.present(token, partial), asked);
const reason = async (...of: Parameters<typeof call>) => (await call(...of)).reason;

describe('a token for a single use', () => {
  // Goes red when decide() does not consume: the second call is permitted.
  it('is used once, and a token that descends from it or shares its use not at all', async () => {
    const first = f.claims({ singleUse: USE });
    expect(await reason(f.sign(first))).toBe('permitted');
    expect(await reason(f.sign(first))).toBe('single_use_spent');
    const child = once({
      lineage: [first.id],
      depth: { used: 1, max: 2 },
      actors: ['procurement-agent', 'risk-analyst'],
    });
    expect(await reason(child)).toBe('single_use_spent');
    expect(await reason(once({ singleUse: 'v'.repeat(22) }))).toBe('permitted');
  });

  it('is consumed with what the PEP verified, under an attempt of each call', async () => {
    const claims = f.claims({ singleUse: USE });
    const token = f.sign(claims);
    await call(token);
    await call(token);
    const [first, second] = f.state.consumptions;
    expect(first).toEqual({
      use_id: USE,
      attempt: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
      audience: 'https://erp.example',
      token: {
        jti: claims.id,
        lineage: [],
        rev: claims.rev,
        task: claims.task.id,
        task_type: 'supplier-risk-summary',
        actors: ['procurement-agent'],
        user: 'alice',
        client: 'procurement-agent',
        keys: [f.issuerKey.kid, f.holder.kid],
        exp: claims.expiresAt,
      },
    });
    expect(second?.attempt).not.toBe(first?.attempt);
  });

  it('is the only kind for which anybody is asked', async () => {
    const { singleUse: _none, ...many } = f.claims({ singleUse: USE });
    expect(await reason(f.sign(many))).toBe('permitted');
    expect(await reason(f.sign(many))).toBe('permitted');
    expect(f.state.consumptions).toEqual([]);
  });

  it('says in the record what became of the use', async () => {
    const claims = f.claims({ singleUse: USE });
    const context = {
      id: 'd',
      audience: 'https://erp.example',
      asked: READ,
      latencyUs: 1,
      rev: undefined,
    };
    const detail = async () => {
      const finding = await call(f.sign(claims));
      if (!finding.caller) throw new Error('a stranger');
      return callRecord(context, finding, finding.caller).detail;
    };
    const attempt = expect.stringMatching(/^[\w-]{22}$/);
    expect(await detail()).toEqual({ use_id: USE, use: 'consumed', attempt });
    expect(await detail()).toEqual({ use_id: USE, use: 'spent', attempt });
    f.state.consume = undefined;
    expect(await detail()).toEqual({ use_id: USE, use: 'unknown', attempt });
    expect(await detail()).toEqual({ use_id: USE, use: 'unasked' });
    f.entry({ kind: 'task', id: claims.task.id });
    expect(await detail()).toBeUndefined();
  });
});

// Goes red when the use is consumed before the check that each row names.
describe('a call that anything else refuses leaves the use', () => {
  const leaves = async (refuse: () => Promise<string>, expected: string) => {
    expect(await refuse()).toBe(expected);
    expect(f.state.consumptions).toEqual([]);
  };

  it('without proof, or with a replayed one', async () => {
    const token = once();
    await leaves(() => reason(token, READ, { proof: undefined }), 'proof_required');
    const presented = f.present(token);
    expect((await decide(f.deps, presented, READ)).reason).toBe('permitted');
    f.state.consumptions.length = 0;
    await leaves(async () => (await decide(f.deps, presented, READ)).reason, 'proof_replayed');
  });

  it('expired, revoked, or while the feed is quiet', async () => {
    const claims = f.claims({ singleUse: USE });
    f.entry({ kind: 'task', id: claims.task.id });
    await leaves(() => reason(f.sign(claims)), 'task_revoked');
    const token = once({ rev: { epoch: 'epoch-1', seq: 1 } });
    f.state.nowMs = 3_100;
    await leaves(() => reason(token), 'status_stale');
    f.state.nowMs = 300_000;
    f.hearFeed();
    await leaves(() => reason(token), 'token_expired');
  });

  it('outside the scope, or with arguments that have no one reading', async () => {
    const order = { action: 'orders.create', resource: 'erp/orders', args: { amount: 5_001 } };
    await leaves(() => reason(once(), order), 'scope_constraint');
    await leaves(() => reason(once(), { ...READ, resource: 'a/../b' }), 'arguments_invalid');
  });

  it('by the PDP, or without its answer', async () => {
    await leaves(() => reason(once(), RATE), 'pdp_unavailable');
    f.state.pdpAnswer = async () => ({
      decision: 'deny',
      reason: 'policy_forbid',
      dimensions: { ...dimensions, policies: 'deny' },
    });
    await leaves(() => reason(once(), RATE), 'policy_forbid');
    f.state.pdpAnswer = async () => ({ decision: 'allow', dimensions });
    expect(await reason(once(), RATE)).toBe('permitted');
    expect(f.state.consumptions).toHaveLength(1);
  });

  it('or that dies while the PDP is asked', async () => {
    const claims = f.claims({ singleUse: USE });
    f.state.pdpAnswer = async () => {
      f.entry({ kind: 'task', id: claims.task.id });
      return { decision: 'allow', dimensions };
    };
    await leaves(() => reason(f.sign(claims), RATE), 'task_revoked');
  });
});

describe('what happens while the use is consumed', () => {
  const during = (happens: () => void) => {
    const consume = store();
    f.state.consume = async (asked) => {
      happens();
      return consume(asked);
    };
  };

  // Goes red when standingOf() is not asked again after the consumption.
  it('refuses the call: revocation, silence of the feed, the end of the token', async () => {
    const claims = f.claims({ singleUse: USE });
    during(() => f.entry({ kind: 'task', id: claims.task.id }));
    expect(await call(f.sign(claims))).toMatchObject({
      reason: 'task_revoked',
      use: { outcome: 'consumed' },
    });
    during(() => {
      f.state.nowMs += 3_100;
    });
    const current = { rev: { epoch: 'epoch-1', seq: 1 } };
    expect(await reason(once(current))).toBe('status_stale');
    f.hearFeed();
    during(() => {
      f.state.nowMs += 300_000;
      f.hearFeed();
    });
    const now = f.claims();
    expect(await reason(f.sign({ ...now, singleUse: USE }))).toBe('token_expired');
  });

  it.each([
    ['token', false, 'token_revoked'],
    ['token', true, 'ancestor_revoked'],
    ['link', false, 'token_revoked'],
    ['task', false, 'task_revoked'],
    ['agent', false, 'agent_revoked'],
    ['user', false, 'user_revoked'],
    ['client', false, 'client_revoked'],
    ['tenant', false, 'tenant_revoked'],
    ['key', false, 'key_revoked'],
  ] as const)(
    'a revoked %s that this PEP has not heard of refuses it',
    async (kind, ancestor, expected) => {
      f.state.consume = async () => ({ outcome: 'revoked', revoked: { kind, id: 'x', ancestor } });
      expect(await reason(once())).toBe(expected);
    },
  );
});

describe('a use whose outcome is unknown', () => {
  const MINUTES = 60_000;

  // Goes red when an error counts as consumed, or when the use is asked for again.
  it('refuses this call and all later ones here, also when the service is back', async () => {
    f.state.consume = undefined;
    const claims = f.claims({ singleUse: USE });
    expect(await reason(f.sign(claims))).toBe('single_use_unavailable');
    f.state.consume = store();
    expect(await reason(f.sign(claims))).toBe('single_use_unavailable');
    const child = once({ lineage: [claims.id], depth: { used: 1, max: 2 } });
    expect(await reason(child)).toBe('single_use_unavailable');
    expect(f.state.consumptions).toHaveLength(1);
    expect(await reason(once({ singleUse: 'v'.repeat(22) }))).toBe('permitted');
  });

  it('is remembered longer than the longest token lives, and then forgotten', async () => {
    f.state.consume = undefined;
    await call(once());
    f.state.consume = store();
    const at = async (ms: number) => {
      f.state.nowMs = ms;
      f.hearFeed();
      return reason(once());
    };
    expect(await at(15 * MINUTES)).toBe('single_use_unavailable');
    expect(f.deps.uses.size()).toBe(1);
    expect(await at(16 * MINUTES)).toBe('permitted');
    expect(f.deps.uses.size()).toBe(0);
  });

  it('takes no more memory than it may: then nothing is asked, and the uses are left', async () => {
    const small = await checkFixture({ maxUnknown: 2 });
    small.start();
    const use = (letter: string) => once({ singleUse: letter.repeat(22) }, small);
    const ask = (letter: string) => reason(use(letter), READ, {}, small);
    expect(await ask('a')).toBe('single_use_unavailable');
    expect(await ask('b')).toBe('single_use_unavailable');
    small.state.consume = store();
    expect(await ask('c')).toBe('overloaded');
    expect(small.state.consumptions).toHaveLength(2);
    small.state.nowMs = 16 * MINUTES;
    small.hearFeed();
    expect(await ask('c')).toBe('permitted');
  });

  it('has its room before it is asked: calls in work count', async () => {
    const small = await checkFixture({ maxUnknown: 2 });
    small.start();
    const answer = Promise.withResolvers<ConsumeResponse>();
    small.state.consume = () => answer.promise;
    const ask = (letter: string) =>
      reason(once({ singleUse: letter.repeat(22) }, small), READ, {}, small);
    const waiting = [ask('a'), ask('b')];
    await expect.poll(() => small.state.consumptions.length).toBe(2);
    expect(await ask('c')).toBe('overloaded');
    answer.resolve({ outcome: 'consumed' });
    expect(await Promise.all(waiting)).toEqual(['permitted', 'permitted']);
    expect(await ask('c')).toBe('permitted');
  });
});
