import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { WrittenPermission } from '../scope/test-support/naive.ts';
import { configureRuns, tally } from '../scope/test-support/runs.ts';
import type { Capability } from '../token/index.ts';
import { type LinkCode, LinkError, verifyChain } from './index.ts';
import {
  CYCLE,
  draftOf,
  GOOD,
  keyAt,
  NOTHING_LESS,
  type Plan,
  plan,
  signDraft,
  tokenText,
} from './test-support/chains.ts';
import { type Verdict, verifyByTheBook, worldOf } from './test-support/reference.ts';
import { TAMPERINGS, type Tampering } from './test-support/tampering.ts';

configureRuns();

/** The links of a plan, each signed by the key of the element before it. */
function linksOf(
  { hops }: Plan,
  token: string,
  change?: { tampering: Tampering; at: number; seed: number },
): string[] {
  let text = token;
  const links: string[] = [];
  for (const [at, hop] of hops.entries()) {
    const from = at === 0 ? keyAt(0) : keyAt((hops[at - 1] as (typeof hops)[number]).to);
    const draft = draftOf(text, from, hop);
    const here = change?.at === at ? change : undefined;
    const tampered =
      here && 'link' in here.tampering ? here.tampering.link(draft, here.seed) : draft;
    const link = signDraft(tampered);
    text = `${text}~${link}`;
    links.push(link);
  }
  return links;
}

interface Case {
  readonly capability: Capability;
  readonly text: string;
}

function caseOf(
  good: Plan,
  change: { tampering: Tampering; at: number; seed: number } | undefined,
  other: Plan,
): Case {
  const token = tokenText(good.capability);
  if (change === undefined) {
    return { capability: good.capability, text: [token, ...linksOf(good, token)].join('~') };
  }
  const { tampering, seed } = change;
  const at = change.at % good.hops.length;
  if ('token' in tampering) {
    const capability = tampering.token(good.capability);
    const changed = tokenText(capability);
    return { capability, text: [changed, ...linksOf(good, changed)].join('~') };
  }
  const links = linksOf(good, token, { tampering, at, seed });
  if ('text' in tampering) links[at] = tampering.text(links[at] as string, seed);
  const others = linksOf(other, tokenText(other.capability));
  const changed = 'chain' in tampering ? tampering.chain(links, at, others) : links;
  return { capability: good.capability, text: [token, ...changed].join('~') };
}

/** What the verifier says, in the words of the reference. */
function ours({ capability, text }: Case): Verdict | LinkCode {
  try {
    const chain = verifyChain(capability, text, { algorithms: ['ES256', 'Ed25519'] });
    const keys = new Map<string, string[]>(capability.actors.map((sub) => [sub, []]));
    if (capability.confirmation && 'jkt' in capability.confirmation) {
      keys.get(capability.actors.at(-1) as string)?.push(capability.confirmation.jkt);
    }
    for (const { actor, jkt } of chain.links) keys.set(actor, [...(keys.get(actor) ?? []), jkt]);
    const last = chain.capability;
    const { confirmation } = last;
    return {
      actors: last.actors.map((sub) => ({ sub, jkts: keys.get(sub) ?? [] })),
      lineage: last.lineage,
      id: last.id,
      exp: last.expiresAt,
      nbf: last.notBefore,
      jkt: confirmation && 'jkt' in confirmation ? confirmation.jkt : '',
      permissions: last.scope.permissions as unknown as WrittenPermission[],
    };
  } catch (error) {
    if (error instanceof LinkError) return error.code;
    throw error;
  }
}

const comparable = ({ permissions, ...rest }: Verdict) => ({ ...rest, ...worldOf(permissions) });

const CODES: readonly LinkCode[] = [
  'ACTOR_CYCLE',
  'CHAIN_TOO_LARGE',
  'DEPTH_EXCEEDED',
  'EXPIRY_WIDENING',
  'LINKS_NOT_ALLOWED',
  'LINK_ALG_NOT_ALLOWED',
  'LINK_KEY_MISMATCH',
  'LINK_MALFORMED',
  'LINK_SIGNATURE_INVALID',
  'LINK_SPLICED',
  'NOTHING_GIVEN_UP',
  'SCOPE_WIDENING',
];

type Change = { tampering: Tampering; at: number; seed: number };
const met = tally<LinkCode | 'good' | 'good all the same'>('good', 'good all the same', ...CODES);
const harmless = new Set<string>();

async function agree(good: Plan, other: Plan, change?: Change): Promise<void> {
  const made = caseOf(good, change, other);
  const [book, own] = [await verifyByTheBook(made.text), ours(made)];
  const what = change?.tampering.name ?? 'as planned';
  if (typeof own === 'string') {
    met.add(own);
    expect(book, `${own}: ${what}`).toBeUndefined();
    return;
  }
  met.add(change === undefined ? 'good' : 'good all the same');
  if (change) harmless.add(change.tampering.name);
  expect(book && comparable(book), what).toEqual(comparable(own));
}

// Red when a rule is taken out of either verifier: the other goes on refusing what it was for.
it('agrees with a second verifier on a good chain, tampered with in every way at every link', async () => {
  for (const plans of [GOOD, CYCLE, NOTHING_LESS]) await agree(plans, GOOD);
  for (const tampering of TAMPERINGS) {
    for (let seed = 0; seed < 12; seed++) {
      await agree(GOOD, CYCLE, { tampering, at: seed % 4, seed: seed * 37 });
    }
  }
  console.info(`chains: ${met.line()}; good all the same: ${[...harmless].join('; ')}`);
  for (const code of CODES) expect(met.share(code), code).toBeGreaterThan(0);
}, 60_000);

it('agrees with a second verifier on chains of all kinds', async () => {
  const change = fc.record({
    tampering: fc.constantFrom(...TAMPERINGS),
    at: fc.nat(3),
    seed: fc.nat(9_999),
  });
  const some = fc.option(change, { nil: undefined, freq: 2 });
  // Each run signs and reads some ten links; more of them is for longer hours.
  await fc.assert(fc.asyncProperty(plan, plan, some, agree), { numRuns: 1000 });
  console.info(`chains: ${met.line()}`);
  expect(met.share('good')).toBeGreaterThan(0.1);
}, 120_000);
