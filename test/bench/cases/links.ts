import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { createLink } from '../../../packages/capability/src/link/index.ts';
import { scope } from '../../../packages/capability/src/scope/index.ts';
import type { Capability, Signer } from '../../../packages/capability/src/token/index.ts';
import { checkFixture, READ } from '../../../packages/pep/src/check.testing.ts';
import { decide } from '../../../packages/pep/src/decide.ts';
import type { Bench } from '../harness.ts';

type Fixture = Awaited<ReturnType<typeof checkFixture>>;
type Held = { text: string; capability: Capability; signer: Signer };

const SCOPE = scope([{ actions: [READ.action], resources: [READ.resource], args: [] }]);

/** A fixture whose token may be handed on, with three keys of workers behind the holder's. */
async function started() {
  const fixture = await checkFixture();
  fixture.start();
  const keys = await Promise.all([1, 2, 3].map(() => fixture.newSigner('ES256')));
  const root = (): Held => {
    const capability = fixture.claims({ links: true, depth: { used: 0, max: 3 } });
    return { capability, text: fixture.sign(capability), signer: fixture.holder };
  };
  const check = async ({ text, signer }: Held, proof = fixture.prove(text, { signer })) => {
    const { reason } = await decide(fixture.deps, fixture.present(text, { proof }), READ);
    if (reason !== 'permitted') throw new Error(`the check said ${reason}`);
  };
  return { fixture, keys, root, check };
}

/** The same token, handed on anew: only the links are new to the enforcement point. */
function handedOn(root: Held, keys: readonly Signer[]): Held {
  let held = root;
  for (const key of keys) {
    const { capability, text, signer } = held;
    const next = createLink({
      capability,
      text,
      signer,
      id: randomBytes(16).toString('base64url'),
      jkt: key.kid,
      scope: SCOPE,
      issuedAt: capability.issuedAt,
      expiresAt: capability.expiresAt,
    });
    held = { text: next.text, capability: next.link.capability, signer: key };
  }
  return held;
}

/** The bare signature check of one JWS. */
function bareCheck(fixture: Fixture, jws: string, signer: Signer): () => void {
  const [head, body, tail] = jws.split('.') as [string, string, string];
  const key = createPublicKey({ key: signer.publicJwk, format: 'jwk' });
  const signed = Buffer.from(`${head}.${body}`);
  const signature = Buffer.from(tail, 'base64url');
  const isToken = signer.alg === fixture.issuerKey.alg;
  return () => {
    const holds = isToken
      ? verify(null, signed, key, signature)
      : verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature);
    if (!holds) throw new Error('the signature is wrong');
  };
}

function newLinks(count: 1 | 2 | 3): Bench {
  return {
    name: `links-new-${count}`,
    says: `a PEP checks a chain of ${count} new links behind a token that it knows, with a new proof`,
    baselineSays: `bare crypto.verify of ${count + 1} ES256 signatures: the links and the proof`,
    perRound: 400,
    async setup() {
      const { fixture, keys, root, check } = await started();
      const [holder, used] = [root(), keys.slice(0, count)];
      await check(holder);
      const some = handedOn(holder, used);
      const signers = [fixture.holder, ...used];
      const bare = some.text
        .split('~')
        .slice(1)
        .concat(fixture.prove(some.text, { signer: some.signer }))
        .map((jws, at) => bareCheck(fixture, jws, signers[at] as Signer));
      let chains: { held: Held; proof: string }[] = [];
      return {
        prepare: async (operations) => {
          chains = Array.from({ length: operations }, () => {
            const held = handedOn(holder, used);
            return { held, proof: fixture.prove(held.text, { signer: held.signer }) };
          });
        },
        subject: () => {
          const { held, proof } = chains.pop() as { held: Held; proof: string };
          return check(held, proof);
        },
        baseline: () => {
          for (const one of bare) one();
        },
      };
    },
  };
}

const cold: Bench = {
  name: 'links-cold-3',
  says: 'a PEP checks a new ML-DSA-65 token with three new links, with a new proof',
  baselineSays: 'bare crypto.verify of the ML-DSA-65 signature and of four ES256 ones',
  perRound: 200,
  async setup() {
    const { fixture, keys, root, check } = await started();
    const some = handedOn(root(), keys);
    const signers = [fixture.issuerKey, fixture.holder, ...keys];
    const bare = some.text
      .split('~')
      .concat(fixture.prove(some.text, { signer: some.signer }))
      .map((jws, at) => bareCheck(fixture, jws, signers[at] as Signer));
    let chains: { held: Held; proof: string }[] = [];
    return {
      prepare: async (operations) => {
        chains = Array.from({ length: operations }, () => {
          const held = handedOn(root(), keys);
          return { held, proof: fixture.prove(held.text, { signer: held.signer }) };
        });
      },
      subject: () => {
        const { held, proof } = chains.pop() as { held: Held; proof: string };
        return check(held, proof);
      },
      baseline: () => {
        for (const one of bare) one();
      },
    };
  },
};

const known: Bench = {
  name: 'links-known-3',
  says: 'a PEP verifies a chain of three links that it has seen before, without its proof',
  baselineSays: 'one SHA-256 of the same chain',
  perRound: 20_000,
  async setup() {
    const { fixture, keys, root } = await started();
    const { text } = handedOn(root(), keys);
    await fixture.deps.tokens.verify(text);
    return {
      subject: () => fixture.deps.tokens.verify(text),
      baseline: () => createHash('sha256').update(text).digest('base64url'),
    };
  },
};

export const links: readonly Bench[] = [newLinks(1), newLinks(2), newLinks(3), cold, known];
