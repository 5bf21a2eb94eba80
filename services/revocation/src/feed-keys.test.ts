import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSigner, createVerifier, type PrivateJwk } from '@remit/bus';
import {
  beatShard,
  conform,
  feedKey,
  parseJsonStrict,
  revocationBeat,
  SIGNED,
  subjects,
} from '@remit/contracts';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { build } from './app.ts';
import { configOf, connectPep, createSources, type Sources, TENANT, until } from './test/rig.ts';

let infra: TestInfra;
let sources: Sources;
beforeAll(async () => {
  infra = await testInfra({ services: ['revocation'] });
  sources = await createSources(infra);
});
afterAll(async () => {
  await sources?.stop();
  await infra?.[Symbol.asyncDispose]();
});

const newKey = (): PrivateJwk =>
  generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });

/** The service with this signer file, and everything on its shard by what verifies it. */
async function startWith(keys: readonly PrivateJwk[], everKeys: readonly PrivateJwk[]) {
  const cleanup = new AsyncDisposableStack();
  const file = join(infra.tmpDir, `signer-${Math.random()}.json`);
  writeFileSync(file, JSON.stringify({ keys }), { mode: 0o600 });
  const pep = await connectPep(infra);
  cleanup.defer(() => pep.close());
  const beatsOf = new Set<string>();
  const announced = new Map<string, string>();
  const parties = everKeys.map((key) => createSigner({ keys: [key] }));
  const verifiers = parties.map(
    (party) => [party.kid, createVerifier(party.publicJwks())] as const,
  );
  pep.subscribe(subjects.revocationBeat(beatShard(TENANT)), (_, data) => {
    for (const [kid, verifier] of verifiers) {
      const read = (typ: typeof SIGNED.beat | typeof SIGNED.feedKey): unknown => {
        try {
          return parseJsonStrict(Buffer.from(verifier.verify(typ, data)).toString());
        } catch {
          return undefined;
        }
      };
      const beat = read(SIGNED.beat);
      const key = read(SIGNED.feedKey);
      if (beat !== undefined && conform(revocationBeat, beat)) beatsOf.add(kid);
      if (key !== undefined) announced.set(conform(feedKey, key).jwk.kid as string, kid);
    }
  });
  await pep.flush();
  const app = await build(configOf(infra, { busSignerFile: file }));
  cleanup.defer(() => app.stop());
  await app.start();
  await until(() => expect(beatsOf.size).toBeGreaterThan(0));
  return {
    beatsOf,
    announced,
    app,
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}

// Red when a key that signed once is announced like any other.
it('the key behind the first is announced by it, and follows it; an old one never again', async () => {
  const [oldKey, newest] = [infra.signer('revocation-bus').keys[0] as PrivateJwk, newKey()];
  const all = [oldKey, newest];
  const [oldKid, newKid] = all.map((key) => createSigner({ keys: [key] }).kid) as [string, string];

  {
    await using alone = await startWith([oldKey], all);
    expect([...alone.beatsOf]).toEqual([oldKid]);
    expect(alone.announced.size).toBe(0);
  }
  {
    await using before = await startWith([oldKey, newest], all);
    await until(() => expect([...before.announced]).toEqual([[newKid, oldKid]]));
    expect([...before.beatsOf]).toEqual([oldKid]);
    const jwks = (await before.app.http.inject('/.well-known/jwks.json')).json();
    expect(jwks.keys.map(({ kid }: { kid: string }) => kid)).toContain(newKid);
  }
  {
    await using after = await startWith([newest, oldKey], all);
    // As the old key signed it, so that whoever pins that one alone comes along.
    await until(() => expect([...after.announced]).toEqual([[newKid, oldKid]]));
    expect([...after.beatsOf]).toEqual([newKid]);
  }
}, 40_000);
