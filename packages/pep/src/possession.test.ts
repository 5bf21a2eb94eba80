import type { ClaimRequest, ClaimResponse } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { AUDIENCE, checkFixture, READ } from './check.testing.ts';
import { decide } from './decide.ts';
import { createNonces } from './nonces.ts';
import { createSharedProofs } from './shared-proofs.ts';

type Fixture = Awaited<ReturnType<typeof checkFixture>>;

const withNonces = () =>
  checkFixture({ possession: (_bus, monotonicMs) => ({ nonces: createNonces({ monotonicMs }) }) });
const sharing = () =>
  checkFixture({
    possession: (bus) => ({
      shared: createSharedProofs({
        bus,
        tenant: 'acme',
        audience: AUDIENCE,
        verifier: {} as never,
        windowSeconds: 10,
      }),
    }),
  });

/** Two instances that trust the same issuer: what one of them says is taken by the other. */
async function two(make: () => Promise<Fixture>): Promise<[Fixture, Fixture]> {
  const [one, other] = await Promise.all([make(), make()]);
  other.published.set(one.issuerKey.kid, one.published.get(one.issuerKey.kid) as never);
  for (const f of [one, other]) f.start();
  return [one, other];
}

describe('with nonces', () => {
  it('a proof needs the nonce of this instance, which the refusal tells', async () => {
    const f = await withNonces();
    f.start();
    const token = f.sign(f.claims());
    for (const nonce of [undefined, '', 'x', 'A'.repeat(22)]) {
      const refused = await f.pep.decide(
        f.present(token, { proof: f.prove(token, { nonce }) }),
        READ,
      );
      expect(refused).toMatchObject({
        allow: false,
        reason: 'proof_nonce',
        status: 401,
        challenge: expect.stringMatching(/^DPoP error="use_dpop_nonce", algs="ES256 Ed25519"/),
        nonce: expect.stringMatching(/^[\w-]{22}$/),
      });
    }
    expect(f.records).toEqual([]);
    expect(f.strangers).toHaveLength(4);
  });

  it('a proof with it is taken once, and nothing is told while the nonce is the newest', async () => {
    const f = await withNonces();
    f.start();
    const token = f.sign(f.claims());
    const { nonce } = await f.pep.decide({ ...f.present(token), authorization: undefined }, READ);
    const presented = f.present(token, { proof: f.prove(token, { nonce }) });
    const allowed = await f.pep.decide(presented, READ);
    expect(allowed).toMatchObject({ allow: true });
    expect(allowed.nonce).toBeUndefined();
    expect(await f.pep.decide(presented, READ)).toMatchObject({ reason: 'proof_replayed' });
  });

  it('a proof with the one before is taken and told the newest', async () => {
    const f = await withNonces();
    f.start();
    const token = f.sign(f.claims());
    const { nonce: old } = await f.pep.decide({ ...f.present(token), proof: undefined }, READ);
    f.state.nowMs += 60_000;
    f.hearFeed();
    const allowed = await f.pep.decide(
      f.present(token, { proof: f.prove(token, { nonce: old }) }),
      READ,
    );
    expect(allowed).toMatchObject({ allow: true, nonce: expect.not.stringMatching(String(old)) });
    f.state.nowMs += 60_000;
    f.hearFeed();
    const late = f.present(token, { proof: f.prove(token, { nonce: old }) });
    expect(await f.pep.decide(late, READ)).toMatchObject({ reason: 'proof_nonce' });
  });

  // Red when instances derive their nonces from anything that they share.
  it('a proof that one instance took is refused by another', async () => {
    const [one, other] = await two(withNonces);
    const token = one.sign(one.claims());
    const { nonce } = await one.pep.decide({ ...one.present(token), proof: undefined }, READ);
    const presented = one.present(token, { proof: one.prove(token, { nonce }) });
    expect(await one.pep.decide(presented, READ)).toMatchObject({ allow: true });
    expect(await other.pep.decide(presented, READ)).toMatchObject({ reason: 'proof_nonce' });
    expect(other.records).toEqual([]);
  });
});

describe('with a shared memory', () => {
  /** The service's part, as its own tests hold it to: the first attempt wins. */
  function service() {
    const owners = new Map<string, string>();
    return async ({ proof, attempt }: ClaimRequest): Promise<ClaimResponse> => {
      if (!owners.has(proof)) owners.set(proof, attempt);
      return { outcome: owners.get(proof) === attempt ? 'claimed' : 'replayed' };
    };
  }

  // Red when the answer of the claim is not looked at.
  it('a proof is taken once over all instances', async () => {
    const [one, other] = await two(sharing);
    one.state.claim = other.state.claim = service();
    const presented = one.present(one.sign(one.claims()));
    expect(await one.pep.decide(presented, READ)).toMatchObject({ allow: true });
    expect(await other.pep.decide(presented, READ)).toMatchObject({
      allow: false,
      reason: 'proof_replayed',
      status: 401,
    });
    expect(other.records).toEqual([]);
    expect(one.state.claims[0]).toEqual({
      proof: expect.stringMatching(/^[\w-]{43}$/),
      attempt: expect.stringMatching(/^[\w-]{22}$/),
      keep_seconds: 85,
    });
    expect(other.state.claims[0]?.proof).toBe(one.state.claims[0]?.proof);
    expect(JSON.stringify(one.state.claims)).not.toContain(one.holder.kid);
  });

  // Red when an unknown outcome is taken for a claim.
  it('a proof whose claim is not answered is refused here for good', async () => {
    const f = await sharing();
    f.start();
    const presented = f.present(f.sign(f.claims()));
    expect(await f.pep.decide(presented, READ)).toMatchObject({
      reason: 'proof_unavailable',
      status: 503,
    });
    f.state.claim = service();
    expect(await f.pep.decide(presented, READ)).toMatchObject({ reason: 'proof_replayed' });
    expect(await f.pep.decide(f.present(f.sign(f.claims())), READ)).toMatchObject({ allow: true });
  });

  it('nobody is asked about a proof that does not hold', async () => {
    const f = await sharing();
    f.start();
    f.state.claim = service();
    const token = f.sign(f.claims());
    const stolen = f.present(token, {
      proof: f.prove(token, { signer: await f.newSigner('ES256') }),
    });
    expect((await decide(f.deps, stolen, READ)).reason).toBe('proof_key');
    expect(f.state.claims).toEqual([]);
  });

  it('a token that is revoked while it is asked is refused', async () => {
    const f = await sharing();
    f.start();
    const claims = f.claims();
    f.state.claim = async () => {
      f.entry({ kind: 'task', id: claims.task.id });
      return { outcome: 'claimed' };
    };
    expect(await f.pep.decide(f.present(f.sign(claims)), READ)).toMatchObject({
      reason: 'task_revoked',
    });
  });
});

describe('where the body is given', () => {
  const body = Buffer.from('{"amount":1}');

  it('the proof must be for its bytes', async () => {
    const f = await checkFixture();
    f.start();
    const token = f.sign(f.claims());
    const reason = async (proved: Uint8Array | undefined, came: Uint8Array | 'unread') =>
      (
        await decide(
          f.deps,
          f.present(token, { proof: f.prove(token, { body: proved }), body: came }),
          READ,
        )
      ).reason;
    expect(await reason(body, body)).toBe('permitted');
    expect(await reason(body, Buffer.from('{"amount":2}'))).toBe('proof_body');
    expect(await reason(body, new Uint8Array())).toBe('proof_body');
    expect(await reason(undefined, body)).toBe('proof_body');
    expect(await reason(undefined, new Uint8Array())).toBe('proof_body');
    expect(await reason(body, 'unread')).toBe('proof_body');
    expect(await reason(new Uint8Array(), new Uint8Array())).toBe('permitted');
  });

  it('a token without binding is refused, since nothing could bind the body', async () => {
    const f = await checkFixture({ acceptBearer: true });
    f.start();
    const { confirmation: _none, ...unbound } = f.claims();
    const authorization = `Bearer ${f.sign(unbound)}`;
    const presented = { ...f.present(''), authorization, proof: undefined };
    expect((await decide(f.deps, presented, READ)).reason).toBe('permitted');
    expect((await decide(f.deps, { ...presented, body }, READ)).reason).toBe('token_unbound');
  });
});

// Red without hasDotSegment(): `/files/../suppliers/S-100` would fit a proof for `/suppliers/S-100`.
it('a path that is to be repaired fits no proof', async () => {
  const f = await checkFixture();
  f.start();
  const token = f.sign(f.claims());
  for (const path of [
    '/files/../suppliers/S-100',
    '/./suppliers/S-100',
    '/files/%2e%2E/suppliers/S-100',
    '/files/.%2e/suppliers/S-100?x',
    '/suppliers/S-100/x/..',
  ]) {
    const presented = f.present(token, { url: AUDIENCE + path });
    expect((await decide(f.deps, presented, READ)).reason).toBe('proof_binding');
  }
});
