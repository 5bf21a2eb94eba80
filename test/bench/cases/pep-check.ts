import { createHash, createPublicKey, verify } from 'node:crypto';
import { checkFixture, READ } from '../../../packages/pep/src/check.testing.ts';
import { decide } from '../../../packages/pep/src/decide.ts';
import type { Bench } from '../harness.ts';

/**
 * The local check of a PEP as a tool runs it (`decide`), with the real view, real keys and no
 * recording; the bearer form leaves the proof out.
 */
export async function startedCheck() {
  const fixture = await checkFixture({ acceptBearer: true });
  fixture.start();
  const { confirmation: _unbound, ...claims } = fixture.claims();
  const bearer = () => fixture.sign({ ...claims, id: fixture.claims().id });
  const presented = (token: string) => ({
    authorization: `Bearer ${token}`,
    proof: undefined,
    method: 'GET',
    url: 'https://erp.example/suppliers/S-100',
  });
  const check = async (presentation: Parameters<typeof decide>[1]) => {
    const { reason } = await decide(fixture.deps, presentation, READ);
    if (reason !== 'permitted') throw new Error(`the check said ${reason}`);
  };
  return { fixture, bearer, presented, check };
}

function parts(token: string) {
  const [header, payload, signature] = token.split('.') as [string, string, string];
  return {
    signed: Buffer.from(`${header}.${payload}`),
    signature: Buffer.from(signature, 'base64url'),
  };
}

const warm: Bench = {
  name: 'pep-check-warm',
  says: 'a PEP checks a token that it has seen before, without proof and record',
  baselineSays: 'one SHA-256 of the same token',
  perRound: 20_000,
  async setup() {
    const { bearer, presented, check } = await startedCheck();
    const token = bearer();
    const presentation = presented(token);
    return {
      subject: () => check(presentation),
      baseline: () => createHash('sha256').update(token).digest('base64url'),
    };
  },
};

const cold: Bench = {
  name: 'pep-check-cold',
  says: 'a PEP checks a new ML-DSA-65 token, without proof and record',
  baselineSays: 'bare crypto.verify of the same ML-DSA-65 signature',
  targetRatio: 1.5,
  perRound: 400,
  async setup() {
    const { fixture, bearer, presented, check } = await startedCheck();
    const key = createPublicKey({ key: fixture.issuerKey.publicJwk, format: 'jwk' });
    let tokens: string[] = [];
    const bare = parts(bearer());
    return {
      prepare: async (operations) => {
        tokens = Array.from({ length: operations }, bearer);
      },
      subject: () => check(presented(tokens.pop() as string)),
      baseline: () => {
        if (!verify(null, bare.signed, key, bare.signature))
          throw new Error('the signature is wrong');
      },
    };
  },
};

const dpop: Bench = {
  name: 'pep-check-dpop',
  says: 'a PEP checks a token that it has seen before and a new ES256 DPoP proof, without record',
  baselineSays: 'bare crypto.verify of the same ES256 proof',
  targetRatio: 1.5,
  perRound: 1_000,
  async setup() {
    const { fixture, presented, check } = await startedCheck();
    const presentation = presented('');
    const token = fixture.sign(fixture.claims());
    const bare = parts(fixture.prove(token));
    const key = createPublicKey({ key: fixture.holder.publicJwk, format: 'jwk' });
    let proofs: string[] = [];
    return {
      prepare: async (operations) => {
        proofs = Array.from({ length: operations }, () => fixture.prove(token));
      },
      subject: () =>
        check({ ...presentation, authorization: `DPoP ${token}`, proof: proofs.pop() }),
      baseline: () => {
        if (!verify('sha256', bare.signed, { key, dsaEncoding: 'ieee-p1363' }, bare.signature)) {
          throw new Error('the signature is wrong');
        }
      },
    };
  },
};

export const pepChecks: readonly Bench[] = [warm, cold, dpop];
