import { createHash } from 'node:crypto';
import { ALGORITHMS, type ProofAlgorithm } from '../token/algorithms.ts';
import type { Capability, ProofKeyCache } from '../token/index.ts';
import { MAX_DEPTH, MAX_TOKEN_LENGTH } from '../token/index.ts';
import { importPublic } from '../token/keys.ts';
import { LinkError } from './errors.ts';
import { type ReadLink, readLink } from './read.ts';
import { applyLink, type ChainLink, checkHops, signerOf } from './rules.ts';

/** Stands between a token and its links. In no base64url text. */
const SEPARATOR = '~';

/** An access token as it is sent, split at its links; none for a token alone. */
export interface SplitChain {
  readonly token: string;
  /** Oldest first. */
  readonly links: readonly string[];
}

export interface ChainOptions {
  /** Allowed algorithms of links. Required: there is no default. */
  readonly algorithms: readonly ProofAlgorithm[];
  readonly keyCache?: ProofKeyCache | undefined;
}

export interface VerifiedChain {
  /** What token and links say together: the last link's {@link ChainLink.capability}. */
  readonly capability: Capability;
  /** Oldest first, at least one. */
  readonly links: readonly [ChainLink, ...ChainLink[]];
}

/**
 * Splits an access token `token~link~…` at its links. Nothing is verified.
 *
 * @throws LinkError CHAIN_TOO_LARGE (over 12 KB), LINK_MALFORMED (an empty part), DEPTH_EXCEEDED (more
 * links than any token allows)
 */
export function splitChain(text: string): SplitChain {
  if (text.length > MAX_TOKEN_LENGTH) {
    throw new LinkError('CHAIN_TOO_LARGE', `longer than ${MAX_TOKEN_LENGTH} characters`);
  }
  const [token = '', ...links] = text.split(SEPARATOR);
  if (token === '' || links.includes('')) {
    throw new LinkError('LINK_MALFORMED', 'a part of the chain is empty');
  }
  if (links.length > MAX_DEPTH) {
    throw new LinkError('DEPTH_EXCEEDED', 'the chain is longer than any token allows');
  }
  return { token, links };
}

/**
 * Verifies the links of a chain, without asking anybody.
 *
 * Checks: the token may be handed on offline and is bound by DPoP; hops in token plus links within
 * `depth.max`; and of each link its form (`readLink`), that the key in its header is the one that the
 * element before it is bound to, that `prev` is the SHA-256 of all text before it, its signature, and
 * the rules (`applyLink`): life, actor, scope.
 *
 * Doesn't check the token: `capability` must come from a verified signature over the first part of
 * `text`, and its issuer and audience must have been compared. Doesn't look at the clock, the proof of
 * possession of the last key, or revocations: `checkTimes`, `verifyProof` with the whole text as access
 * token, and a view that follows the feed do. Whoever has no such view must refuse chains.
 *
 * @throws LinkError with the code of the first rule that is broken; `context.link` says of which link
 */
export function verifyChain(
  capability: Capability,
  text: string,
  options: ChainOptions,
): VerifiedChain {
  const { token, links } = splitChain(text);
  signerOf(capability);
  checkHops(capability, links.length);
  const before = createHash('sha256').update(token, 'ascii');
  const verified: ChainLink[] = [];
  for (const [at, link] of links.entries()) {
    before.update(SEPARATOR, 'ascii');
    const previous = before.copy().digest('base64url');
    const last = verified.at(-1)?.capability ?? capability;
    verified.push(located(at, () => verifyLink(last, link, previous, options)));
    before.update(link, 'ascii');
  }
  const [first, ...more] = verified;
  if (first === undefined) throw new LinkError('LINK_MALFORMED', 'the token has no link');
  return { capability: (more.at(-1) ?? first).capability, links: [first, ...more] };
}

function verifyLink(
  before: Capability,
  text: string,
  previous: string,
  options: ChainOptions,
): ChainLink {
  const link = readLink(text, options.algorithms);
  if (link.signedBy !== signerOf(before)) {
    throw new LinkError('LINK_KEY_MISMATCH', 'a link is signed with another key than it must be');
  }
  if (link.claims.previous !== previous) {
    throw new LinkError('LINK_SPLICED', 'a link does not follow the text before it', {
      claim: 'prev',
    });
  }
  verifySignature(link, options.keyCache);
  return applyLink(before, link.claims);
}

function verifySignature(link: ReadLink, cache: ProofKeyCache | undefined): void {
  const known = cache?.get(link.signedBy);
  const key = known ?? { kid: link.signedBy, alg: link.alg, key: importKey(link) };
  const signed = Buffer.from(link.signed, 'ascii');
  if (!ALGORITHMS.get(link.alg)?.verify(signed, key.key, link.signature)) {
    throw new LinkError('LINK_SIGNATURE_INVALID', 'the signature of a link does not verify');
  }
  if (known === undefined) cache?.set(link.signedBy, key);
}

function importKey({ members }: ReadLink) {
  try {
    return importPublic(members);
  } catch (cause) {
    throw new LinkError('LINK_MALFORMED', 'the key of a link cannot be read', {}, { cause });
  }
}

/** Says in an error at which link it was found. */
function located<T>(link: number, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof LinkError)) throw cause;
    throw new LinkError(cause.code, cause.message, { ...cause.context, link }, { cause });
  }
}

/** SHA-256 of a chain so far, as the `prev` of the link that comes next. */
export function hashBefore(text: string): string {
  return createHash('sha256').update(`${text}${SEPARATOR}`, 'ascii').digest('base64url');
}

export function append(text: string, link: string): string {
  return `${text}${SEPARATOR}${link}`;
}
