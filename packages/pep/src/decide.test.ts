import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { checkFixture, RATE, READ, START_MS } from './check.testing.ts';
import { decide } from './decide.ts';

type Fixture = Awaited<ReturnType<typeof checkFixture>>;
let f: Fixture;
let other: Awaited<ReturnType<Fixture['newSigner']>>;
beforeAll(async () => {
  other = await (await checkFixture()).newSigner('ML-DSA-65');
});
beforeEach(async () => {
  f = await checkFixture();
  f.start();
});

const reason = async (token: string, asked: Parameters<typeof decide>[2] = READ, partial = {}) =>
  (await decide(f.deps, f.present(token, partial), asked)).reason;

describe('a call with a good token and proof', () => {
  it('is permitted, with the operation as a frozen copy', async () => {
    const args = { amount: 10 };
    const finding = await decide(f.deps, f.present(f.sign(f.claims())), {
      action: 'orders.create',
      resource: 'erp/orders',
      args,
    });
    expect(finding).toMatchObject({
      reason: 'permitted',
      dimensions: { task: 'allow' },
      operation: { args: { amount: 10 } },
    });
    args.amount = 1_000_000;
    expect(finding.operation?.args).toEqual({ amount: 10 });
    expect(Object.isFrozen(finding.operation?.args)).toBe(true);
    expect(f.state.pdp).toEqual([]);
  });

  it('is permitted again with a new proof, from the cache', async () => {
    const token = f.sign(f.claims());
    expect(await reason(token)).toBe('permitted');
    expect(f.deps.tokens.size()).toBe(1);
    expect(await reason(token)).toBe('permitted');
  });
});

// Each row goes red when the check that it names is taken out of decide(), verified-token or the capability package.
describe('a token that is not what it must be is a stranger’s', () => {
  const stranger = async (token: string, expected: string) => {
    const finding = await decide(f.deps, f.present(token), READ);
    expect(finding.reason).toBe(expected);
    expect(finding.caller).toBeUndefined();
  };

  it('signed by another key', async () => {
    await stranger(f.sign(f.claims(), other), 'token_key_unknown');
    expect(f.state.refreshes).toBe(1);
  });
  it('with a payload that was changed after signing', async () => {
    const [header, , signature] = f.sign(f.claims()).split('.');
    const [, payload] = f.sign(f.claims({ subject: 'mallory' })).split('.');
    await stranger(`${header}.${payload}.${signature}`, 'token_signature');
  });
  it('from another issuer or tenant', async () => {
    await stranger(f.sign(f.claims({ issuer: 'https://issuer.example/t/globex' })), 'token_issuer');
    await stranger(f.sign(f.claims({ tenant: 'globex' })), 'token_issuer');
  });
  it('for another audience, also one that only looks alike', async () => {
    for (const audience of [
      'https://erp.example/',
      'https://ERP.example',
      'https://erp.example.evil',
      'https://erp.exampl',
      'https://pay.example',
    ]) {
      await stranger(f.sign(f.claims({ audience })), 'token_audience');
    }
  });
  it('of another kind, algorithm or size', async () => {
    const claims = f.claims();
    const payload = f.sign(claims).split('.')[1] as string;
    const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url');
    await stranger(`${none}.${payload}.`, 'token_algorithm');
    await stranger(`${none}.${payload}.AAAA`, 'token_algorithm');
    await stranger(f.prove('x'.repeat(43)), 'token_algorithm');
    await stranger('x'.repeat(12_300), 'token_too_large');
  });
});

describe('a second token beside the first', () => {
  // Red when what isn't one token reaches the parser of tokens as if it were, or the cache takes it.
  it('is refused in any way it comes, also after the first was taken', async () => {
    const token = f.sign(f.claims());
    const second = f.sign(f.claims());
    expect(await reason(token)).toBe('permitted');
    for (const text of [
      `${token}, DPoP ${second}`,
      `${token} ${second}`,
      ` ${token}`,
      `${token} `,
      `${token}\t`,
      `${token};x`,
      `${token}\u0141`,
      token.replace(/.$/, (last) => String.fromCharCode(last.charCodeAt(0) + 256)),
    ]) {
      expect(await reason(token, READ, { authorization: `DPoP ${text}` }), text.slice(-9)).toBe(
        'token_malformed',
      );
    }
  });
});

describe('possession of the key', () => {
  it('is required: without proof, under Bearer, with another key, for another token', async () => {
    const token = f.sign(f.claims());
    const stolen = await f.newSigner('ES256');
    expect(await reason(token, READ, { proof: undefined })).toBe('proof_required');
    expect(await reason(token, READ, { authorization: `Bearer ${token}` })).toBe('proof_scheme');
    expect(await reason(token, READ, { proof: f.prove(token, { signer: stolen }) })).toBe(
      'proof_key',
    );
    expect(await reason(token, READ, { proof: f.prove(f.sign(f.claims())) })).toBe('proof_binding');
  });

  it('is proved for one method and address', async () => {
    const token = f.sign(f.claims());
    for (const wrong of [
      { method: 'POST' },
      { url: 'https://erp.example/suppliers/S-200' },
      { url: 'http://erp.example/suppliers/S-100' },
      { url: 'https://evil.example/suppliers/S-100' },
    ]) {
      expect(await reason(token, READ, { proof: f.prove(token, wrong) })).toBe('proof_binding');
    }
  });

  it('is proved now: ten seconds before and after by the feed’s clock', async () => {
    const token = f.sign(f.claims());
    const at = (seconds: number) => ({
      proof: f.prove(token, { nowSeconds: START_MS / 1_000 + seconds }),
    });
    expect(await reason(token, READ, at(-11))).toBe('proof_expired');
    expect(await reason(token, READ, at(11))).toBe('proof_expired');
    expect(await reason(token, READ, at(-10))).toBe('permitted');
    expect(await reason(token, READ, at(10))).toBe('permitted');
  });

  it('is proved once: a replayed proof is refused', async () => {
    const token = f.sign(f.claims());
    const presented = f.present(token);
    expect((await decide(f.deps, presented, READ)).reason).toBe('permitted');
    const again = await decide(f.deps, presented, READ);
    expect(again.reason).toBe('proof_replayed');
    expect(again.caller).toBeUndefined();
  });

  it('cannot be checked when the memory of proofs is full, so nothing is allowed', async () => {
    f = await checkFixture({ maxProofs: 1 });
    f.start();
    const token = f.sign(f.claims());
    expect(await reason(token)).toBe('permitted');
    expect(await reason(token)).toBe('overloaded');
  });

  // Red when createPossession takes unbound tokens without being told to.
  it('is asked of every token where nothing else was said', async () => {
    const { confirmation: _none, ...unbound } = f.claims();
    const token = f.sign(unbound);
    expect(await reason(token, READ, { authorization: `Bearer ${token}`, proof: undefined })).toBe(
      'token_unbound',
    );
    expect(await reason(token)).toBe('proof_scheme');
  });

  it('is not asked of a bearer token where those are taken, which must come as one', async () => {
    f = await checkFixture({ acceptBearer: true });
    f.start();
    const { confirmation: _none, ...unbound } = f.claims();
    const token = f.sign(unbound);
    expect(await reason(token, READ, { authorization: `Bearer ${token}`, proof: undefined })).toBe(
      'permitted',
    );
    expect(await reason(token)).toBe('proof_scheme');
  });

  it('by certificate is refused where there is none', async () => {
    const token = f.sign(f.claims({ confirmation: { x5tS256: f.holder.kid } }));
    expect(await reason(token)).toBe('proof_key');
  });
});

describe('time', () => {
  it('is the feed’s: the token dies with it, also from the cache', async () => {
    const token = f.sign(f.claims());
    expect(await reason(token)).toBe('permitted');
    f.state.nowMs = 299_000;
    f.hearFeed();
    expect(await reason(token)).toBe('permitted');
    f.state.nowMs = 300_000;
    f.hearFeed();
    const dead = await decide(f.deps, f.present(token), READ);
    expect(dead).toMatchObject({
      reason: 'token_expired',
      caller: { capability: { subject: 'alice' } },
    });
  });

  it('has not come yet for a token from the future', async () => {
    const later = START_MS / 1_000 + 60;
    expect(
      await reason(f.sign(f.claims({ issuedAt: later, notBefore: later, expiresAt: later + 60 }))),
    ).toBe('token_not_yet_valid');
  });
});

describe('revocation', () => {
  it.each([
    ['task', 'task_revoked', (c: { task: { id: string } }) => c.task.id],
    ['token', 'token_revoked', (c: { id: string }) => c.id],
    ['agent', 'agent_revoked', () => 'procurement-agent'],
    ['user', 'user_revoked', () => 'alice'],
    ['client', 'client_revoked', () => 'procurement-agent'],
    ['tenant', 'tenant_revoked', () => 'acme'],
    ['key', 'key_revoked', () => f.holder.kid],
    ['key', 'key_revoked', () => f.issuerKey.kid],
  ] as const)('of a %s refuses the next call: %s', async (kind, expected, id) => {
    const claims = f.claims();
    const token = f.sign(claims);
    expect(await reason(token)).toBe('permitted');
    f.entry({ kind, id: id(claims) });
    const finding = await decide(f.deps, f.present(token), READ);
    expect(finding).toMatchObject({ reason: expected, caller: { capability: { id: claims.id } } });
  });

  it('of an ancestor refuses the descendant', async () => {
    const ancestor = 'a'.repeat(22);
    const token = f.sign(
      f.claims({
        lineage: [ancestor],
        depth: { used: 1, max: 2 },
        actors: ['procurement-agent', 'risk-analyst'],
      }),
    );
    expect(await reason(token)).toBe('permitted');
    f.entry({ kind: 'token', id: ancestor });
    expect(await reason(token)).toBe('ancestor_revoked');
  });

  it('is not known without a feed, and not after the feed has gone quiet', async () => {
    const blind = await checkFixture();
    const token = blind.sign(blind.claims());
    expect((await decide(blind.deps, blind.present(token), READ)).reason).toBe('status_stale');

    const mine = f.sign(f.claims());
    f.state.nowMs = 3_100;
    expect(await reason(mine)).toBe('status_stale');
    f.hearFeed();
    expect(await reason(mine)).toBe('permitted');
  });

  it('is caught up with first when the token is ahead of the view', async () => {
    const ahead = f.sign(f.claims({ rev: { epoch: 'epoch-1', seq: 1 } }));
    expect(await reason(ahead)).toBe('status_behind');
    f.state.catchUp = async () => f.entry({ kind: 'task', id: 'task_of_somebody_else' });
    expect(await reason(ahead)).toBe('permitted');
  });
});

describe('scope and arguments', () => {
  const ask = (action: string, resource: string, args: unknown) =>
    decide(f.deps, f.present(f.sign(f.claims())), { action, resource, args });

  it('refuse what no permission admits, and say what came nearest', async () => {
    expect(await ask('contracts.read', 'erp/contracts/C-7', {})).toMatchObject({
      reason: 'scope_action',
      dimensions: { task: 'deny' },
      miss: { kind: 'action' },
    });
    expect(await ask('suppliers.read', 'erp/suppliers/S-200', {})).toMatchObject({
      reason: 'scope_resource',
    });
    expect(await ask('suppliers.read', 'erp/suppliers/S-100', { x: 1 })).toMatchObject({
      reason: 'scope_arguments',
      miss: { path: 'x' },
    });
    expect(await ask('orders.create', 'erp/orders', { amount: 5001 })).toMatchObject({
      reason: 'scope_constraint',
      miss: { kind: 'constraint', path: 'amount', test: 'max' },
    });
    expect(await ask('orders.create', 'erp/orders', {})).toMatchObject({
      reason: 'scope_constraint',
      miss: { test: 'present' },
    });
  });

  it('refuse what has no one reading', async () => {
    for (const resource of [
      'erp/suppliers/../contracts/C-7',
      'erp/suppliers/S-100/',
      'erp//suppliers',
      'erp/suppliers/*',
      'erp/suppliers/S%2D100',
      '',
    ]) {
      expect((await ask('suppliers.read', resource, {})).reason, resource).toBe(
        'arguments_invalid',
      );
    }
    for (const args of [
      null,
      [],
      'x',
      { 'a.b': 1 },
      { '': 1 },
      { amount: () => 1 },
      JSON.parse('{"__proto__":{"amount":1}}'),
    ]) {
      expect((await ask('orders.create', 'erp/orders', args)).reason).toBe('arguments_invalid');
    }
  });
});

describe('an online permission', () => {
  const dimensions = { agent: 'allow', user: 'allow', task: 'allow', policies: 'allow' } as const;

  it('is decided by the PDP, which gets the composite identity that was verified', async () => {
    f.state.pdpAnswer = async () => ({ decision: 'allow', dimensions });
    const finding = await decide(f.deps, f.present(f.sign(f.claims())), RATE);
    expect(finding).toMatchObject({
      reason: 'permitted',
      dimensions,
      online: { policyVersion: 'v2', registryRevision: 7 },
    });
    expect(f.state.pdp).toMatchObject([
      {
        actors: ['procurement-agent'],
        user: 'alice',
        client: 'procurement-agent',
        operation: RATE,
      },
    ]);
  });

  it('is refused when the PDP refuses, does not answer or answers what is not known', async () => {
    const token = f.sign(f.claims());
    expect(await reason(token, RATE)).toBe('pdp_unavailable');
    f.state.pdpAnswer = async () => ({
      decision: 'deny',
      reason: 'user_entitlement',
      dimensions: { ...dimensions, user: 'deny' },
    });
    expect(await reason(token, RATE)).toBe('user_entitlement');
    f.state.pdpAnswer = async () => ({ decision: 'deny', reason: 'permitted', dimensions });
    expect(await reason(token, RATE)).toBe('policy_forbid');
  });

  // Goes red when standingOf() is not asked again after the answer: the revocation came meanwhile.
  it('is refused when the task is revoked, the token dies or the feed goes quiet during the answer', async () => {
    const claims = f.claims();
    const token = f.sign(claims);
    const during = (happens: () => void) => async () => {
      happens();
      return { decision: 'allow' as const, dimensions };
    };
    f.state.pdpAnswer = during(() => {
      f.state.nowMs += 3_100;
    });
    expect(await reason(token, RATE)).toBe('status_stale');
    f.hearFeed();
    f.state.pdpAnswer = during(() => f.entry({ kind: 'task', id: claims.task.id }));
    expect(await reason(token, RATE)).toBe('task_revoked');
    f.state.pdpAnswer = during(() => {
      f.state.nowMs += 300_000;
      f.hearFeed();
    });
    expect(await reason(f.sign(f.claims()), RATE)).toBe('token_expired');
  });

  it('is what every permission becomes once facts changed after the token was decided', async () => {
    const token = f.sign(f.claims());
    expect(await reason(token)).toBe('permitted');
    f.entry({ verb: 'recheck', kind: 'tenant', id: 'acme' });
    expect(await reason(token)).toBe('pdp_unavailable');
    f.state.pdpAnswer = async () => ({ decision: 'allow', dimensions });
    expect(await reason(token)).toBe('permitted');
    f.state.pdpAnswer = undefined;
    expect(await reason(f.sign(f.claims()))).toBe('permitted');
  });
});
