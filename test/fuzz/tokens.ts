import { generateKeyPairSync } from 'node:crypto';
import { ScopeError } from '@remit/capability/scope';
import {
  capabilityPayload,
  createProof,
  importSigner,
  importVerifyKey,
  readCapability,
  type Signer,
  type TokenAlgorithm,
  TokenError,
  verifyCapabilitySignature,
  verifyProof,
} from '@remit/capability/token';
import * as fc from 'fast-check';
import { compactVerify, EmbeddedJWK } from 'jose';
import { capability, NOW } from '../../packages/capability/src/token/test-support/fixtures.ts';
import { type Target, target } from './target.ts';

const KINDS = {
  'ML-DSA-65': () => generateKeyPairSync('ml-dsa-65'),
  'ML-DSA-44': () => generateKeyPairSync('ml-dsa-44'),
  Ed25519: () => generateKeyPairSync('ed25519'),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};
const newSigner = (kind: keyof typeof KINDS): Signer =>
  importSigner(KINDS[kind]().privateKey.export({ format: 'jwk' }));

const ALGORITHMS: TokenAlgorithm[] = ['ML-DSA-65', 'ML-DSA-44', 'Ed25519'];
const signers = ALGORITHMS.map(newSigner);
const keys = new Map(signers.map((one) => [one.kid, importVerifyKey(one.publicJwk)]));
const PAYLOAD = capabilityPayload(capability());
const tokens = signers.map((one) => one.sign({ typ: 'at+jwt' }, PAYLOAD));
const provers = [newSigner('ES256'), newSigner('Ed25519')];
const URL_CALLED = 'https://erp.test/orders';
const proofs = provers.map((signer) =>
  createProof({
    signer,
    method: 'POST',
    url: URL_CALLED,
    nowSeconds: NOW,
    jti: 'jti-0123456789abcdef',
  }),
);

/** One change of a text: a character, a cut, a repeat, or a bit of what a part decodes to. */
const change = fc.record({
  at: fc.nat(),
  what: fc.constantFrom('char', 'cut', 'repeat', 'bit', 'swap', 'insert'),
  char: fc.constantFrom(...'AQgwz09-_.=~+/ \n"'),
  part: fc.nat(2),
});
type Change = typeof change extends fc.Arbitrary<infer C> ? C : never;

function apply(text: string, { at, what, char, part }: Change): string {
  const i = at % (text.length + 1);
  if (what === 'char') return text.slice(0, i) + char + text.slice(i + 1);
  if (what === 'insert') return text.slice(0, i) + char + text.slice(i);
  if (what === 'cut') return text.slice(0, i) + text.slice(i + 1 + (at % 7));
  if (what === 'repeat') return text.slice(0, i) + text.slice(Math.max(0, i - 5));
  const parts = text.split('.');
  const chosen = parts[part % parts.length] as string;
  if (what === 'swap') return parts.toReversed().join('.');
  const bytes = Buffer.from(chosen, 'base64url');
  if (bytes.length === 0) return text;
  bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << (at % 8));
  return parts.map((one) => (one === chosen ? bytes.toString('base64url') : one)).join('.');
}

/** A good text with a few changes, or text from anywhere. */
function mutated(good: readonly string[]) {
  return fc.oneof(
    {
      weight: 9,
      arbitrary: fc
        .tuple(fc.constantFrom(...good), fc.array(change, { maxLength: 3 }))
        .map(([text, changes]) => ({ text: changes.reduce(apply, text), good: text })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.string({ unit: 'binary', maxLength: 200 }), fc.constantFrom(...good))
        .map(([text, one]) => ({ text, good: one })),
    },
  );
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const token = target({
  name: 'tokens',
  says: 'of all texts near a good token only that token itself verifies; all others are refused with a code',
  arbitrary: mutated(tokens),
  holds({ text, good }) {
    try {
      const { payload } = verifyCapabilitySignature(text, {
        keys: (kid) => keys.get(kid),
        algorithms: ALGORITHMS,
      });
      must(text === good, 'another text verifies');
      readCapability(payload);
      return 'verified';
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      must(text !== good, `the good token is refused: ${error.code}`);
      return error.code;
    }
  },
});

const proof = target({
  name: 'proofs',
  says: 'what verifyProof takes, jose takes too, with the same claims',
  arbitrary: mutated(proofs),
  async holds({ text, good }) {
    let code = 'verified';
    try {
      verifyProof({
        proof: text,
        method: 'POST',
        url: URL_CALLED,
        nowSeconds: NOW,
        windowSeconds: 10,
        algorithms: ['ES256', 'Ed25519'],
      });
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      must(text !== good, `the good proof is refused: ${error.code}`);
      code = error.code;
    }
    const read = await compactVerify(text, EmbeddedJWK, { algorithms: ['ES256', 'Ed25519'] }).catch(
      () => undefined,
    );
    must(code !== 'verified' || read !== undefined, 'jose refuses it');
    return code === 'verified'
      ? 'verified'
      : read === undefined
        ? 'both refuse'
        : `only here: ${code}`;
  },
});

const CLAIMS = Object.keys(PAYLOAD);
const claims = target({
  name: 'claims',
  says: 'any payload is a capability or refused with a code; what is read is what would be written',
  arbitrary: fc.tuple(
    fc.array(
      fc.tuple(
        fc.constantFrom(...CLAIMS, 'single_use', 'budgets', 'may_act', 'approval', 'unknown'),
        fc.oneof(
          fc.constant(undefined),
          fc.jsonValue(),
          fc.constantFrom(...Object.values(PAYLOAD as Record<string, unknown>)),
        ),
      ),
      { maxLength: 2 },
    ),
    fc.boolean(),
  ),
  holds([changes]) {
    const changed: Record<string, unknown> = structuredClone({ ...PAYLOAD });
    for (const [name, value] of changes) {
      if (value === undefined) delete changed[name];
      else changed[name] = value;
    }
    try {
      const read = readCapability(changed);
      must(
        JSON.stringify(readCapability(capabilityPayload(read))) === JSON.stringify(read),
        'written and read again it is another',
      );
      return 'read';
    } catch (error) {
      if (error instanceof TokenError || error instanceof ScopeError) return error.code;
      throw error;
    }
  },
});

export const tokenTargets: readonly Target[] = [token, proof, claims];
