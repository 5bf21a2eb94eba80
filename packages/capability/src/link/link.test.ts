import { describe, expect, it } from 'vitest';
import { parseOperation, permits, scope } from '../scope/index.ts';
import {
  capabilityPayload,
  importSigner,
  MAX_TOKEN_LENGTH,
  readCapability,
} from '../token/index.ts';
import { capability, NOW, refused as tokenRefused } from '../token/test-support/fixtures.ts';
import { createLink, LinkError, type NewLink, splitChain, verifyChain } from './index.ts';
import { draftOf, hashOf, keyAt, randomId, signDraft, tokenText } from './test-support/chains.ts';

const BOX = { actions: ['suppliers.read'], resources: ['erp/suppliers/*'], args: [] };
const ONE = { ...BOX, resources: ['erp/suppliers/S-1'] };
const [HOLDER, ANALYST, OTHER, WORKER, SECOND] = [0, 1, 2, 3, 4] as const;
const ENTRY = { sub: 'risk-analyst', jkt: keyAt(ANALYST).jkt, scope: scope([BOX]) };
const TOKEN = capability({
  links: true,
  scope: scope([BOX]),
  confirmation: { jkt: keyAt(HOLDER).jkt },
  mayAct: [ENTRY, { sub: 'origin-agent', jkt: keyAt(OTHER).jkt, scope: scope([ONE]) }],
});
const TEXT = tokenText(TOKEN);
const READ_TWO = parseOperation({
  action: 'suppliers.read',
  resource: 'erp/suppliers/S-2',
  args: {},
});
const options = { algorithms: ['ES256', 'Ed25519'] as const };

/** What a holder of one of the keys hands on, behind a chain that may have links already. */
function handOn(to: number, more: Partial<NewLink> & { from?: number } = {}) {
  const { from = HOLDER, ...changed } = more;
  return createLink({
    capability: TOKEN,
    text: TEXT,
    signer: importSigner(keyAt(from).privateJwk),
    id: randomId(),
    jkt: keyAt(to).jkt,
    scope: scope([ONE]),
    issuedAt: NOW + 1,
    expiresAt: NOW + 200,
    ...changed,
  });
}
const verify = (text: string, token = TOKEN) => verifyChain(token, text, options);

function refused(work: () => unknown): LinkError {
  try {
    work();
  } catch (error) {
    if (error instanceof LinkError) return error;
    throw error;
  }
  return expect.fail('not refused');
}

describe('a link', () => {
  it('to a key of may_act adds its agent; the rest is the token’s', () => {
    const { text, link } = handOn(ANALYST);
    const { capability: handed, links } = verify(text);
    expect(links).toEqual([link]);
    expect(handed).toEqual({
      ...TOKEN,
      id: link.id,
      actors: ['procurement-agent', 'risk-analyst'],
      scope: scope([ONE]),
      issuedAt: NOW + 1,
      notBefore: NOW + 1,
      expiresAt: NOW + 200,
      lineage: [TOKEN.id],
      depth: { used: 1, max: 3 },
      confirmation: { jkt: keyAt(ANALYST).jkt },
    });
    expect(link).toMatchObject({
      actor: 'risk-analyst',
      worker: false,
      jkt: keyAt(ANALYST).jkt,
    });
  });

  it('to any other key adds a worker of the same actor, whose key is named', () => {
    const { text, link } = handOn(WORKER, { scope: scope([BOX]) });
    expect(verify(text).capability.actors).toEqual(['procurement-agent']);
    expect(link).toMatchObject({ actor: 'procurement-agent', worker: true });
    expect(link.capability.confirmation).toEqual({ jkt: keyAt(WORKER).jkt });
  });

  it('goes on from the link before it: another agent, a worker of that, with every id in the lineage', () => {
    const first = handOn(ANALYST);
    const next = createLink({
      capability: first.link.capability,
      text: first.text,
      signer: importSigner(keyAt(ANALYST).privateJwk),
      id: randomId(),
      jkt: keyAt(WORKER).jkt,
      scope: scope([ONE]),
      issuedAt: NOW + 2,
      expiresAt: NOW + 200,
    });
    const { capability: handed, links } = verify(next.text);
    expect(handed.actors).toEqual(['procurement-agent', 'risk-analyst']);
    expect(handed.lineage).toEqual([TOKEN.id, first.link.id]);
    expect(handed.depth).toEqual({ used: 2, max: 3 });
    expect(links.map(({ actor, worker }) => [actor, worker])).toEqual([
      ['risk-analyst', false],
      ['risk-analyst', true],
    ]);
    expect(permits(handed.scope, READ_TWO).ok).toBe(false);
    // What the receiver may do is a capability that a token could carry: it reads back whole.
    expect(readCapability(capabilityPayload(handed))).toEqual(handed);
  });

  // The whole format in one place: another implementation can be held against it.
  it('is a JWS of six claims whose prev covers the separator before it', () => {
    const { text } = handOn(WORKER, { id: 'AAAAAAAAAAAAAAAAAAAAAA' });
    const [header, payload] = (splitChain(text).links[0] as string)
      .split('.')
      .slice(0, 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as unknown);
    expect(header).toEqual({ typ: 'remit-link+jwt', alg: 'ES256', jwk: keyAt(HOLDER).jwk });
    expect(payload).toEqual({
      prev: hashOf(`${TEXT}~`),
      jti: 'AAAAAAAAAAAAAAAAAAAAAA',
      iat: NOW + 1,
      exp: NOW + 200,
      cnf: { jkt: keyAt(WORKER).jkt },
      permissions: [ONE],
    });
  });

  // Red when a link goes by its `jti`: whoever signs one could give it the id of a token or a link that
  // is somebody else's, and then revoke it.
  it('goes by an id that follows from where it stands, so that nobody can choose it', () => {
    const id = randomId();
    const { link, text } = handOn(WORKER, { id });
    const named = Buffer.from(hashOf(`${hashOf(`${TEXT}~`)}.${id}`), 'base64url').subarray(0, 16);
    expect(link.id).toBe(named.toString('base64url'));
    expect(verify(text).capability.id).toBe(link.id);
    const other = tokenText({ ...TOKEN, issuedAt: TOKEN.issuedAt - 1 });
    expect(handOn(WORKER, { id, text: other }).link.id).not.toBe(link.id);
  });
});

describe('createLink', () => {
  // Each row goes red when its rule is taken out: the link would be made.
  it.each([
    [
      'a token that may not be handed on',
      { capability: { ...TOKEN, links: false } },
      'LINKS_NOT_ALLOWED',
    ],
    ['another key than the holder’s', { from: OTHER }, 'LINK_KEY_MISMATCH'],
    ['a hop too many', { capability: { ...TOKEN, depth: { used: 0, max: 0 } } }, 'DEPTH_EXCEEDED'],
    ['a later end', { expiresAt: NOW + 301 }, 'EXPIRY_WIDENING'],
    ['an earlier beginning', { issuedAt: NOW - 1 }, 'EXPIRY_WIDENING'],
    ['a short id', { id: 'AAAA' }, 'LINK_MALFORMED'],
    ['a thumbprint that is none', { jkt: 'AAAA' }, 'LINK_MALFORMED'],
    ['an end before the beginning', { issuedAt: NOW + 9, expiresAt: NOW + 9 }, 'LINK_MALFORMED'],
  ])('refuses %s', (_, changed, code) => {
    expect(refused(() => handOn(WORKER, changed as Partial<NewLink>)).code).toBe(code);
  });

  it('gives an agent less, unless there is nothing to divide and it ends earlier', () => {
    const error = refused(() => handOn(ANALYST, { scope: scope([BOX]) }));
    expect(error.code).toBe('NOTHING_GIVEN_UP');
    expect(error.message).toBe('a link to another agent must give something up');
    const single = { ...TOKEN, scope: scope([ONE]) };
    expect(handOn(ANALYST, { capability: single }).link.actor).toBe('risk-analyst');
    const same = () => handOn(ANALYST, { capability: single, expiresAt: single.expiresAt });
    expect(refused(same).code).toBe('NOTHING_GIVEN_UP');
  });

  it('says whose bound a scope passes', () => {
    const wide = scope([{ ...BOX, resources: ['erp/**'] }]);
    const own = refused(() => handOn(WORKER, { scope: wide }));
    expect([own.code, own.context.bound, own.context.excess?.kind]).toEqual([
      'SCOPE_WIDENING',
      'parent',
      'resource',
    ]);
    const two = scope([{ ...BOX, resources: ['erp/suppliers/S-2'] }]);
    const entry = refused(() => handOn(OTHER, { scope: two }));
    expect([entry.code, entry.context.bound]).toEqual(['SCOPE_WIDENING', 'may_act']);
  });

  it('names no agent twice', () => {
    const first = handOn(ANALYST);
    const back = {
      capability: {
        ...first.link.capability,
        mayAct: [ENTRY, { ...ENTRY, jkt: keyAt(SECOND).jkt }],
      },
      text: first.text,
      from: ANALYST,
      expiresAt: NOW + 100,
    };
    expect(refused(() => handOn(SECOND, back)).code).toBe('ACTOR_CYCLE');
  });

  it('leaves room for a proof: 12 KB together', () => {
    const text = `${TEXT}${'A'.repeat(MAX_TOKEN_LENGTH - TEXT.length - 1_500)}`;
    const error = refused(() => handOn(WORKER, { text }));
    expect(error.code).toBe('CHAIN_TOO_LARGE');
    expect(error.message).toBe('token, links and a proof stay under 12 KB together');
  });
});

describe('verifyChain', () => {
  const hop = { to: WORKER, permissions: [ONE], iat: NOW + 1, exp: NOW + 200 };
  const draft = draftOf(TEXT, keyAt(HOLDER), hop);

  it('says at which link a chain breaks', () => {
    const good = `${TEXT}~${signDraft(draft)}`;
    const bad = draftOf(good, keyAt(WORKER), { ...hop, exp: NOW + 250 });
    const error = refused(() => verify(`${good}~${signDraft(bad)}`));
    expect([error.code, error.context.link, error.context.claim]).toEqual([
      'EXPIRY_WIDENING',
      1,
      'exp',
    ]);
  });

  it('believes a name no more than once: duplicate members are malformed', () => {
    const [head, body] = ['header', 'claims'].map((part) =>
      JSON.stringify(draft[part as 'header' | 'claims']),
    ) as [string, string];
    const twice = body.replace('{', `{"exp":${NOW + 250},`);
    const signed = `${Buffer.from(head).toString('base64url')}.${Buffer.from(twice).toString('base64url')}`;
    const link = `${signed}.${keyAt(HOLDER).sign(signed).toString('base64url')}`;
    expect(refused(() => verify(`${TEXT}~${link}`)).code).toBe('LINK_MALFORMED');
  });

  it('takes only algorithms of its list', () => {
    const only = { algorithms: ['Ed25519'] as const };
    const error = refused(() => verifyChain(TOKEN, `${TEXT}~${signDraft(draft)}`, only));
    expect(error.code).toBe('LINK_ALG_NOT_ALLOWED');
  });

  it('remembers the keys that signed, and no others', () => {
    const keyCache = new Map<string, never>();
    const forged = { ...draft, key: keyAt(OTHER) };
    refused(() => verifyChain(TOKEN, `${TEXT}~${signDraft(forged)}`, { ...options, keyCache }));
    expect(keyCache.size).toBe(0);
    verifyChain(TOKEN, `${TEXT}~${signDraft(draft)}`, { ...options, keyCache });
    expect([...keyCache.keys()]).toEqual([keyAt(HOLDER).jkt]);
  });

  it('is not for a token alone', () => {
    expect(refused(() => verify(TEXT)).code).toBe('LINK_MALFORMED');
  });

  it('reads no more links than any token allows', () => {
    expect(refused(() => splitChain(`a${'~b'.repeat(9)}`)).code).toBe('DEPTH_EXCEEDED');
    expect(splitChain(`a${'~b'.repeat(8)}`).links).toHaveLength(8);
  });
});

// A link names an agent by its key alone, so that a list with one key for two agents says nothing.
it('a token whose may_act has one key for two agents is malformed', () => {
  const mayAct = [ENTRY, { ...ENTRY, sub: 'other' }];
  expect(tokenRefused(() => capabilityPayload({ ...TOKEN, mayAct }))).toMatchObject({
    code: 'TOKEN_MALFORMED',
    claim: 'may_act.jkt',
  });
});
