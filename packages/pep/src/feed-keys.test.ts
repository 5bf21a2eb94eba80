import { generateKeyPairSync } from 'node:crypto';
import { type Bus, connectBus, createSigner, createVerifier, type Signer } from '@remit/bus';
import { type RevocationEntry, SIGNED } from '@remit/contracts';
import { createRevocationView, type RevocationView } from '@remit/revocation-view';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { feedService } from './feed.testing.ts';
import { type Feed, followFeed } from './feed.ts';

let infra: TestInfra;
let bus: Bus;
let root: Signer;
let next: Signer;
let view: RevocationView;
let feed: Feed;
let verifier: ReturnType<typeof createVerifier>;
let cleanup: AsyncDisposableStack;

beforeAll(async () => {
  infra = await testInfra();
  bus = await connectBus({ url: infra.natsUrl, name: 'erp-1', ...infra.pepCreds('acme', 'erp-1') });
  root = createSigner(infra.signer('revocation-bus'));
});
afterAll(async () => {
  await bus?.close();
  await infra?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  cleanup = new AsyncDisposableStack();
  next = newSigner();
  view = createRevocationView({ tenant: 'acme', maxStaleMs: 600 });
  // What the trust file pins: the first key alone.
  verifier = createVerifier({ keys: infra.trust().keys.revocation });
});
afterEach(() => cleanup.disposeAsync());

const newSigner = (): Signer => {
  const { privateKey } = generateKeyPairSync('ed25519');
  return createSigner({ keys: [privateKey.export({ format: 'jwk' })] });
};
const announcement = (of: Signer, by: Signer, over: object = {}): string =>
  by.sign(
    SIGNED.feedKey,
    JSON.stringify({ use: 'revocation', jwk: of.publicJwks().keys[0], at: 1, ...over }),
  );
function follow(): void {
  feed = followFeed({ bus, verifier, tenant: 'acme', view, monotonicMs: () => performance.now() });
  const followed = feed;
  cleanup.defer(() => followed.stop());
}
async function serve(signer: Signer) {
  return cleanup.use(await feedService(infra, signer));
}
type Service = Awaited<ReturnType<typeof serve>>;

/** Goes over to the next key: one replica stops, another begins where it was. */
async function takeOver(from: Service, signer: Signer): Promise<Service> {
  from.stopBeating();
  await from[Symbol.asyncDispose]();
  const service = await serve(signer);
  service.state.entries = from.state.entries;
  service.state.term = from.state.term + 1;
  service.startBeating();
  return service;
}
const revokeKey = async (service: Service, id: string): Promise<void> => {
  const { epoch, entries } = service.state;
  const entry: RevocationEntry = {
    epoch,
    seq: entries.length + 1,
    verb: 'revoke',
    kind: 'key',
    id,
    at: 1,
  };
  entries.push(entry);
  await service.send(service.eventSubject, service.sign(SIGNED.revocation, service.eventOf(entry)));
};
const fresh = () => view.fresh(performance.now());

it('a next key that the present one announced is believed, without a restart', async () => {
  const first = await serve(root);
  follow();
  first.startBeating();
  await feed.ready(5_000);
  await first.send(first.beatSubject, announcement(next, root));
  const second = await takeOver(first, next);
  await expect.poll(() => view.stats().term).toBe(2);
  await second.revoke('task_1');
  await expect.poll(() => view.rev()?.seq).toBe(1);
  expect(feed.refused()).toBe(0);
});

// Red when `announced` trusts before it verifies, or looks at the signature of a beat alone.
it('a key that no believed key announced is not: the view grows stale', async () => {
  const first = await serve(root);
  follow();
  first.startBeating();
  await feed.ready(5_000);
  const forged = [
    announcement(next, next),
    announcement(next, createSigner(infra.signer('registry-bus'))),
    announcement(next, root, { use: 'pdp' }),
    announcement(next, root, { more: 1 }),
    announcement(next, root, { jwk: { kty: 'EC', crv: 'P-256', x: 'a', y: 'b' } }),
    root.sign(SIGNED.revocation, JSON.stringify({ use: 'revocation', at: 1 })),
    `${announcement(next, root).slice(0, -4)}AAAA`,
  ];
  for (const jws of forged) await first.send(first.beatSubject, jws);
  await expect.poll(() => feed.refused()).toBe(forged.length);
  expect(verifier.kids()).toEqual([root.kid]);
  await takeOver(first, next);
  await expect.poll(fresh).toBe(false);
});

it('who joins later and pins the first key alone follows the announcements to the present one', async () => {
  const later = newSigner();
  const service = await serve(later);
  service.startBeating();
  follow();
  await expect(feed.ready(300)).rejects.toThrow('not fresh');
  // In this order the last key's announcement is believed at its next repetition.
  await bus.flush();
  const repeat = async () => {
    await service.send(service.beatSubject, announcement(later, next));
    await service.send(service.beatSubject, announcement(next, root));
  };
  await repeat();
  expect(fresh()).toBe(false);
  await repeat();
  await feed.ready(5_000);
  expect(verifier.kids()).toEqual([root.kid, next.kid, later.kid]);
});

// Red when dropRevoked() is taken out of pump(), or the look at the view out of announced().
it('an old key that is revoked signs nothing any more, and is not announced back', async () => {
  const first = await serve(root);
  follow();
  first.startBeating();
  await feed.ready(5_000);
  await first.send(first.beatSubject, announcement(next, root));
  const second = await takeOver(first, next);
  await expect.poll(() => view.stats().term).toBe(2);
  await revokeKey(second, root.kid);
  await expect.poll(() => verifier.kids()).toEqual([next.kid]);
  await second.send(second.beatSubject, announcement(root, next));
  const before = feed.refused();
  const beat = JSON.stringify(second.beatOf({ term: 99 }));
  await second.send(second.beatSubject, root.sign(SIGNED.beat, beat));
  await expect.poll(() => feed.refused()).toBe(before + 1);
  expect(view.stats().term).toBe(2);
  expect(fresh()).toBe(true);
  // What was believed once is repeated for those who come later, and no attack.
  const stranger = announcement(newSigner(), newSigner());
  for (let times = 0; times < 3; times++) {
    await second.send(second.beatSubject, announcement(next, root));
    await second.send(second.beatSubject, stranger);
  }
  await second.send(second.beatSubject, root.sign(SIGNED.beat, beat));
  await expect.poll(() => feed.refused()).toBe(before + 3);
  // Who starts anew with the old trust file learns of it from the snapshot.
  await feed.stop();
  view = createRevocationView({ tenant: 'acme', maxStaleMs: 600 });
  verifier = createVerifier({ keys: infra.trust().keys.revocation });
  follow();
  await bus.flush();
  await second.send(second.beatSubject, announcement(next, root));
  await feed.ready(5_000);
  await expect.poll(() => verifier.kids()).toEqual([next.kid]);
});

it('with every key revoked nothing is believed and nothing allowed', async () => {
  const first = await serve(root);
  follow();
  first.startBeating();
  await feed.ready(5_000);
  await revokeKey(first, root.kid);
  await expect.poll(() => verifier.kids()).toEqual([]);
  await expect.poll(fresh).toBe(false);
});

it('no more than eight keys are believed at once', async () => {
  const first = await serve(root);
  follow();
  for (let n = 0; n < 12; n++) {
    await first.send(first.beatSubject, announcement(newSigner(), root));
  }
  first.startBeating();
  await feed.ready(5_000);
  expect(verifier.kids()).toHaveLength(8);
});
