import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import {
  type Capability,
  createLink,
  importSigner,
  type NewLink,
  type Signer,
  scope,
} from '@remit/capability';
import type { CheckRequest, PublicJwk, RegisterRequest } from '@remit/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow } from '../test/fake-services.ts';
import { expectRefused, type HeldWorld, ONE, startHeldWorld, THREE } from '../test/held.ts';
import { ISSUER, TOOL } from '../test/world.ts';

let world: HeldWorld;
let worker: Signer;
beforeAll(async () => {
  world = await startHeldWorld();
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  worker = importSigner({ ...privateKey.export({ format: 'jwk' }) });
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.mint = (request) => allow(request);
  world.services.revoked = () => undefined;
  world.services.asked.length = 0;
});

const TWO = { ...THREE, actions: THREE.actions.slice(0, 2) };
const root = (changes: Partial<Capability> = {}) => {
  const { token, capability } = world.held(changes);
  return { text: token, capability };
};
type Held = ReturnType<typeof root>;

/** One more link, to a worker of procurement-agent unless told otherwise. */
function handOn(from: Held, more: Partial<NewLink> = {}) {
  return createLink({
    ...from,
    signer: world.proofKey,
    id: randomBytes(16).toString('base64url'),
    jkt: worker.kid,
    scope: scope([TWO]),
    issuedAt: from.capability.issuedAt,
    expiresAt: from.capability.expiresAt - 10,
    ...more,
  });
}
const proofOf = (text: string, signer = worker) => world.proofFor(text, { signer });
const delegate = (text: string, signer = worker) =>
  world.delegate(text, {}, { proof: proofOf(text, signer) });
const asked = (method: string) => world.services.asked.find((one) => one.method === method)?.body;

describe('a chain as subject token', () => {
  it('has a child that descends from every link, within the last one', async () => {
    const token = root();
    const { text, link } = handOn(token);
    const answer = await delegate(text);
    const [kept] = await world.records(1);
    expect(answer.body).not.toHaveProperty('error');
    const child = world.open(answer.body.access_token);
    expect(child).toMatchObject({
      actors: ['procurement-agent', 'risk-analyst'],
      lineage: [token.capability.id, link.id],
      depth: { used: 2, max: 2 },
      scope: scope([ONE]),
      confirmation: { jkt: world.analyst.proof.kid },
    });
    expect(child.expiresAt).toBeLessThan(link.capability.expiresAt);
    const [checked] = (asked('revocation.check') as CheckRequest).tokens;
    expect(checked).toMatchObject({ jti: link.id, lineage: [token.capability.id] });
    expect(checked?.keys).toEqual(expect.arrayContaining([world.proofKey.kid, worker.kid]));
    expect((asked('revocation.register') as RegisterRequest).lineage).toEqual(child.lineage);
    expect(kept?.record).toMatchObject({
      event: 'token.delegated',
      links: [{ id: link.id, actor: 'procurement-agent', jkt: worker.kid }],
    });
  });

  // Each row goes red when the issuer takes the token of a chain for the whole of it.
  it.each([
    ['with a proof of the token’s key', () => world.proofKey, undefined, 'proof_key'],
    ['with a proof of the token alone', () => worker, root, 'proof_binding'],
  ] as const)('is refused %s', async (_, signer, other, reason) => {
    const { text } = handOn(root());
    const proof = proofOf(other === undefined ? text : other().text, signer());
    await expectRefused(world, () => world.delegate(text, {}, { proof }), {
      error: 'invalid_dpop_proof',
      reason,
    });
  });

  const other = () => handOn(root()).text.split('~')[1] as string;
  it.each([
    ['a link of another chain', () => `${root().text}~${other()}`, 'link_spliced'],
    ['a link that is no JWS', () => `${root().text}~x`, 'link_malformed'],
    ['an empty element', () => `${root().text}~`, 'link_malformed'],
    [
      'a link behind a token that has no links',
      () => `${root({ links: false }).text}~${other()}`,
      'links_not_allowed',
    ],
    [
      'a hop more than the token allows',
      () => `${root({ depth: { used: 0, max: 0 } }).text}~${other()}`,
      'depth_exceeded',
    ],
    [
      'more than 12 KB with its proof',
      () => `${root().text}~${'A'.repeat(12_000)}`,
      'token_too_large',
    ],
  ])('is refused with %s', async (_, text, reason) => {
    const chain = text();
    await expectRefused(world, () => delegate(chain), { error: 'invalid_request', reason });
  });

  it('is refused when its last link has ended, though the token lives', async () => {
    const token = root();
    const { text } = handOn(token, { expiresAt: token.capability.issuedAt + 1 });
    const proof = () => {
      world.clock.advance(2_000);
      return proofOf(text);
    };
    await expectRefused(world, () => world.delegate(text, {}, { proof: proof() }), {
      error: 'invalid_request',
      reason: 'token_expired',
    });
  });

  it('is refused where its links leave no hop for another agent', async () => {
    const { text } = handOn(root({ depth: { used: 0, max: 1 } }));
    await expectRefused(world, () => delegate(text), {
      error: 'invalid_request',
      reason: 'depth_exceeded',
    });
  });

  it('is refused to whoever is not the agent that acts by it', async () => {
    const analyst = { sub: 'risk-analyst', jkt: worker.kid, scope: scope([THREE]) };
    const { text } = handOn(root({ mayAct: [analyst] }), { scope: scope([TWO]) });
    await expectRefused(world, () => delegate(text), {
      error: 'invalid_request',
      reason: 'holder_mismatch',
    });
  });

  it('is refused when a link or a key of it is revoked', async () => {
    const { text, link } = handOn(root());
    for (const [revoked, reason] of [
      [{ kind: 'link', id: link.id, ancestor: false }, 'token_revoked'],
      [{ kind: 'token', id: link.capability.lineage[0] ?? '', ancestor: true }, 'ancestor_revoked'],
      [{ kind: 'key', id: world.proofKey.kid, ancestor: false }, 'key_revoked'],
    ] as const) {
      world.services.revoked = () => revoked;
      await expectRefused(world, () => delegate(text), { error: 'invalid_request', reason });
    }
  });

  it('is not renewed', async () => {
    const { text } = handOn(root());
    await expectRefused(world, () => world.renew(text, {}, { proof: proofOf(text) }), {
      error: 'invalid_request',
      reason: 'not_renewable',
    });
  });
});

describe('at the endpoints about tokens', () => {
  const post = async (path: string, form: Record<string, string>) => {
    const response = await world.app.http.inject({
      method: 'POST',
      url: `/t/acme/${path}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        ...form,
      }).toString(),
    });
    return { status: response.statusCode, body: response.body };
  };

  it('a holder of what it descends from revokes its last link, of which nobody has heard', async () => {
    const { text, link } = handOn(root());
    const answer = await post('revoke', { token: text, client_assertion: world.assertion() });
    expect(answer.status).toBe(200);
    expect(asked('revocation.revoke')).toEqual({
      kind: 'link',
      id: link.id,
      by: { kind: 'agent', id: 'procurement-agent' },
    });
  });

  // Red when a link goes by an id that its signer chose: a revocation of it would be one of whatever
  // else has that id, since a lineage holds ids of tokens and of links alike.
  it('a revoked link takes nothing with it whose id its signer gave it', async () => {
    const others = randomBytes(16).toString('base64url');
    const { text } = handOn(root(), { id: others });
    const answer = await post('revoke', { token: text, client_assertion: world.assertion() });
    expect(answer.status).toBe(200);
    const { kind, id } = asked('revocation.revoke') as { kind: string; id: string };
    expect(kind).toBe('link');
    expect(id).not.toBe(others);
  });

  // Red when `introspect` takes a chain for its token: whoever asks does not follow the feed.
  it('is never active for those who ask', async () => {
    const tool = importSigner({
      ...generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }),
    });
    const acme = world.services.tenants.get('acme');
    if (acme) acme.toolKeys = new Map([[TOOL, [tool.publicJwk as PublicJwk]]]);
    const introspect = (token: string) => {
      const iat = world.clock.nowSeconds();
      const claims = { iss: TOOL, sub: TOOL, aud: ISSUER, jti: randomUUID(), iat, exp: iat + 60 };
      const assertion = tool.sign({ typ: 'client-authentication+jwt' }, claims);
      return post('introspect', { token, client_assertion: assertion });
    };
    const token = root();
    const alone = await introspect(token.text);
    expect(JSON.parse(alone.body)).toMatchObject({ active: true });
    expect(await introspect(handOn(token).text)).toEqual({ status: 200, body: '{"active":false}' });
  });
});
