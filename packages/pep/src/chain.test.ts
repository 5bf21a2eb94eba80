import { randomBytes } from 'node:crypto';
import { createLink, type NewLink } from '@remit/capability/link';
import { scope } from '@remit/capability/scope';
import type { Capability, Signer } from '@remit/capability/token';
import type { RevocationKind } from '@remit/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { checkFixture, RATE, READ } from './check.testing.ts';
import { decide } from './decide.ts';

type Fixture = Awaited<ReturnType<typeof checkFixture>>;
let f: Fixture;
let analyst: Signer;
let worker: Signer;
beforeEach(async () => {
  f = await checkFixture();
  f.start();
  [analyst, worker] = await Promise.all([f.newSigner('Ed25519'), f.newSigner('ES256')]);
});

const READ_ONE = scope([
  { actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] },
]);
const ONLINE = scope([
  {
    actions: ['suppliers.rate'],
    resources: ['erp/suppliers/S-100'],
    args: [],
    check: 'online',
  },
]);
const BOTH = scope([...READ_ONE.permissions, ...ONLINE.permissions]);
const of = (kind: RevocationKind, id: string) => ({ kind, id });
const random = () => randomBytes(16).toString('base64url');

const root = (more: Partial<Capability> = {}) => {
  const claims = f.claims({
    links: true,
    mayAct: [{ sub: 'risk-analyst', jkt: analyst.kid, scope: f.claims().scope }],
    ...more,
  });
  return { capability: claims, text: f.sign(claims), signer: f.holder };
};
type Held = { capability: Capability; text: string; signer: Signer };
/** Hands on from whoever holds `from` to the holder of a key, who holds the result. */
function handOn(from: Held, to: Signer, more: Partial<NewLink> = {}): Held & { id: string } {
  const { text, link } = createLink({
    ...from,
    id: random(),
    jkt: to.kid,
    scope: READ_ONE,
    issuedAt: from.capability.issuedAt,
    expiresAt: from.capability.expiresAt,
    ...more,
  });
  return { capability: link.capability, text, signer: to, id: link.id };
}
const presented = ({ text, signer }: Held) => f.present(text, { proof: f.prove(text, { signer }) });
const reason = async (held: Held, asked = READ) =>
  (await decide(f.deps, presented(held), asked)).reason;

describe('a chain at an enforcement point', () => {
  it('is verified without a call, and the agent that it names acts', async () => {
    const chain = handOn(root(), analyst);
    const allowed = await f.pep.decide(presented(chain), READ);
    expect(allowed).toMatchObject({
      allow: true,
      principal: 'alice',
      actors: ['procurement-agent', 'risk-analyst'],
    });
    expect(f.state.pdp).toHaveLength(0);
  });

  // Red when a permission that is local for each of them is taken as local for all of them together.
  it('is asked about when a second agent is named behind the first, which nobody decided on', async () => {
    const depth = { used: 0, max: 3 };
    const clerk = await f.newSigner('ES256');
    const mayAct = [analyst, clerk].map(({ kid }, at) => ({
      sub: ['risk-analyst', 'clerk'][at] as string,
      jkt: kid,
      scope: f.claims().scope,
    }));
    const first = handOn(root({ mayAct, depth }), analyst, { scope: BOTH });
    expect(await reason(first)).toBe('permitted');
    expect(f.state.pdp).toHaveLength(0);
    const second = handOn(first, clerk);
    for (const held of [second, handOn(second, worker)]) {
      f.state.pdp.length = 0;
      f.state.pdpAnswer = async () => ({ decision: 'deny', reason: 'policy_forbid' });
      expect(await reason(held)).toBe('policy_forbid');
      expect(f.state.pdp).toMatchObject([
        { actors: ['procurement-agent', 'risk-analyst', 'clerk'] },
      ]);
    }
    // A token that the issuer made for two, and an agent that it names: the same.
    const delegated = root({
      mayAct,
      actors: ['procurement-agent', 'risk-analyst'],
      lineage: ['jti-0000000000000000009'],
      depth: { used: 1, max: 3 },
    });
    expect(await reason(handOn(delegated, clerk))).toBe('policy_forbid');
    expect(await reason(handOn(delegated, worker))).toBe('permitted');
  });

  // Red when `ath` is taken of a part of the chain, or the proof’s key from the token.
  it('needs a proof of the last key, over the whole chain', async () => {
    const first = root();
    const chain = handOn(first, worker);
    const proofs = [
      f.prove(chain.text, { signer: f.holder }),
      f.prove(first.text, { signer: worker }),
      f.prove(chain.text, { signer: analyst }),
    ];
    const reasons = await Promise.all(
      proofs.map(
        async (proof) => (await decide(f.deps, { ...f.present(chain.text), proof }, READ)).reason,
      ),
    );
    expect(reasons).toEqual(['proof_key', 'proof_binding', 'proof_key']);
    expect(await reason(chain)).toBe('permitted');
  });

  it('gives no more than its last link', async () => {
    const chain = handOn(root(), worker);
    expect(await reason(chain, RATE)).toBe('scope_action');
  });

  it('ends when its last link does, not when the token does', async () => {
    const first = root();
    const chain = handOn(first, worker, { expiresAt: first.capability.issuedAt + 10 });
    f.state.nowMs += 10_000;
    f.hearFeed();
    expect(await reason(chain)).toBe('token_expired');
    expect(await reason(first)).toBe('permitted');
  });

  it('is refused where its links say more than they may, and the caller is a stranger', async () => {
    const first = root();
    const forged = `${first.text}~${handOn(root(), worker).text.split('~')[1]}`;
    const refused = await f.pep.decide(presented({ ...first, text: forged, signer: worker }), READ);
    expect(refused).toMatchObject({ allow: false, reason: 'link_spliced', status: 401 });
    expect(f.strangers).toEqual([{ source: 'unknown', reason: 'link_spliced' }]);
    expect(f.records).toEqual([]);
  });

  it('is refused with a token that may not be handed on, and with an empty element', async () => {
    const text = f.sign(f.claims());
    for (const [chain, expected] of [
      [`${text}~a.b.c`, 'links_not_allowed'],
      [`${text}~`, 'link_malformed'],
      [`~${text}`, 'link_malformed'],
      [`${text}~~${text}`, 'link_malformed'],
    ] as const) {
      expect(await reason({ ...root(), text: chain })).toBe(expected);
    }
  });

  // Red when `readCredentials` measures the token alone.
  it('stays under 12 KB together with its proof', async () => {
    const chain = handOn(root(), worker);
    const proof = f.prove(chain.text, { signer: worker });
    const long = `${proof}${'A'.repeat(12_289 - chain.text.length - proof.length)}`;
    const found = await decide(f.deps, { ...f.present(chain.text), proof: long }, READ);
    expect(found.reason).toBe('token_too_large');
  });

  it('is not taken by a verifier that was not told how to read links', async () => {
    const { createTokenVerifier } = await import('./verified-token.ts');
    const alone = createTokenVerifier({
      issuer: 'https://issuer.example/t/acme',
      tenant: 'acme',
      audience: 'https://erp.example',
      algorithms: ['ML-DSA-65'],
      keys: { get: (kid) => f.published.get(kid), refresh: async () => {}, size: () => 1 },
    });
    const chain = handOn(root(), worker);
    expect(() => alone.verify(chain.text)).toThrow('chains are not taken here');
  });

  it('is remembered whole, with the token beside it; a second link costs one entry', async () => {
    const first = root();
    const chain = handOn(first, worker);
    await reason(chain);
    expect(f.deps.tokens.size()).toBe(2);
    await reason(chain);
    await reason(handOn(first, worker));
    expect(f.deps.tokens.size()).toBe(3);
  });
});

describe('a revocation', () => {
  // Each row goes red when what it names is left out of the subjects of a chain.
  it.each([
    ['of the last link', 'token_revoked', ({ second }: Chains) => of('link', second.id)],
    ['of a link before', 'ancestor_revoked', ({ first }: Chains) => of('link', first.id)],
    ['of the token', 'ancestor_revoked', ({ token }: Chains) => of('token', token.capability.id)],
    ['of the giver’s key', 'key_revoked', () => of('key', f.holder.kid)],
    ['of a key between', 'key_revoked', () => of('key', analyst.kid)],
    ['of the last key', 'key_revoked', () => of('key', worker.kid)],
    ['of the agent that a link named', 'agent_revoked', () => of('agent', 'risk-analyst')],
    ['of the user', 'user_revoked', () => of('user', 'alice')],
    ['of the task', 'task_revoked', ({ token }: Chains) => of('task', token.capability.task.id)],
  ] as const)('%s refuses the chain', async (_, expected, named) => {
    const chains = chainsOf();
    expect(await reason(chains.second)).toBe('permitted');
    f.entry(named(chains));
    expect(await reason(chains.second)).toBe(expected);
  });

  it('of a link leaves its giver alone', async () => {
    const { token, first, second } = chainsOf();
    f.entry({ kind: 'link', id: second.id });
    expect(await reason(second)).toBe('token_revoked');
    expect([await reason(first), await reason(token)]).toEqual(['permitted', 'permitted']);
  });
});
type Chains = ReturnType<typeof chainsOf>;
function chainsOf() {
  const token = root();
  const first = handOn(token, analyst);
  return { token, first, second: handOn(first, worker) };
}

describe('what a chain is asked and recorded with', () => {
  it('asks the PDP about online permissions with every actor and the scope of the last link', async () => {
    f.state.pdpAnswer = async () => ({ decision: 'allow' });
    const chain = handOn(root(), analyst, { scope: ONLINE });
    expect(await reason(chain, RATE)).toBe('permitted');
    expect(f.state.pdp).toMatchObject([
      { actors: ['procurement-agent', 'risk-analyst'], user: 'alice', scope: ONLINE.permissions },
    ]);
  });

  it('asks it again about everything after facts changed', async () => {
    const chain = handOn(root(), analyst);
    f.entry({ kind: 'tenant', id: 'acme', verb: 'recheck' });
    f.state.pdpAnswer = async () => ({ decision: 'deny', reason: 'agent_envelope' });
    expect(await reason(chain)).toBe('agent_envelope');
    expect(f.state.pdp).toMatchObject([{ actors: ['procurement-agent', 'risk-analyst'] }]);
  });

  it('uses the single use of the token, which all have between them', async () => {
    let spent = false;
    f.state.consume = async () => {
      const outcome = spent ? 'spent' : 'consumed';
      spent = true;
      return { outcome };
    };
    const token = root({ singleUse: 'use-1' });
    expect(await reason(handOn(token, worker))).toBe('permitted');
    expect(await reason(handOn(token, worker))).toBe('single_use_spent');
    expect(await reason(token)).toBe('single_use_spent');
    expect(f.state.consumptions.map(({ use_id: use }) => use)).toEqual(['use-1', 'use-1', 'use-1']);
  });

  it('writes the whole chain in every record, and each link once when it is first seen', async () => {
    const { token, first, second } = chainsOf();
    const links = [
      { id: first.id, actor: 'risk-analyst', jkt: analyst.kid },
      { id: second.id, actor: 'risk-analyst', jkt: worker.kid },
    ];
    const lineage = [token.capability.id, first.id];
    const call = await f.pep.decide(presented(second), READ);
    if (!call.allow) return expect.fail(call.reason);
    await f.pep.finished(call, 'ok', 1);
    await f.pep.decide(presented(first), READ);
    expect(f.records).toMatchObject([
      {
        event: 'token.delegated',
        actor: 'risk-analyst',
        act_chain: ['procurement-agent', 'risk-analyst'],
        links: links.slice(0, 1),
        scope: READ_ONE.permissions,
        token: { jti: first.id, lineage: lineage.slice(0, 1), jkt: analyst.kid },
        detail: { offline: true, worker: false, grant: 'link' },
      },
      {
        event: 'token.delegated',
        links,
        token: { jti: second.id, lineage, jkt: worker.kid },
        detail: { offline: true, worker: true },
      },
      { event: 'decision', decision: 'allow', links, token: { jti: second.id, lineage } },
      { event: 'call.finished', links, decision_id: call.id },
      { event: 'decision', links: links.slice(0, 1), token: { jti: first.id } },
    ]);
  });

  it('is refused when a link cannot be recorded, which is tried again with the next call', async () => {
    const chain = handOn(root(), worker);
    f.state.recording = async ({ event }) => {
      if (event === 'token.delegated') throw new Error('the spool is full');
    };
    expect(await f.pep.decide(presented(chain), READ)).toMatchObject({
      allow: false,
      reason: 'audit_unavailable',
    });
    expect(f.records).toEqual([]);
    f.state.recording = async () => {};
    expect(await f.pep.decide(presented(chain), READ)).toMatchObject({ allow: true });
    expect(f.records.map(({ event }) => event)).toEqual(['token.delegated', 'decision']);
  });

  it('is recorded as handed on also when its first call is refused', async () => {
    const { second } = chainsOf();
    f.entry({ kind: 'link', id: second.id });
    expect(await f.pep.decide(presented(second), READ)).toMatchObject({ reason: 'token_revoked' });
    expect(f.records.map(({ event, reason: why }) => [event, why])).toEqual([
      ['token.delegated', 'permitted'],
      ['token.delegated', 'permitted'],
      ['decision', 'token_revoked'],
    ]);
  });
});
