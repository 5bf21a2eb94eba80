import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { jwkThumbprint } from '@remit/capability';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectRefused, type HeldWorld, startHeldWorld } from '../test/held.ts';
import { writeTokenKeys } from '../test/world.ts';

let world: HeldWorld;
beforeAll(async () => {
  world = await startHeldWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const jwks = async (): Promise<string[]> => {
  const { body } = await world.app.http.inject({ url: '/t/acme/jwks.json' });
  return (JSON.parse(body) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
};
const kidOf = (token: unknown): unknown =>
  (JSON.parse(Buffer.from(String(token).split('.')[0] ?? '', 'base64url').toString()) as object)[
    'kid' as never
  ];

describe('a token key that is revoked', () => {
  type KeyFile = Record<string, { keys: Record<string, unknown>[] }>;

  // Red when `readHead` refuses instead of going on, or `distrust` does not take the key out.
  it('never signs, is published or verifies again, and the next one signs at once', async () => {
    const file = JSON.parse(readFileSync(world.tokenKeysFile, 'utf8')) as KeyFile;
    const old = file.acme?.keys[0] ?? {};
    const next = { ...generateKeyPairSync('ml-dsa-65').privateKey.export({ format: 'jwk' }) };
    const [oldKid, nextKid] = [jwkThumbprint(old), jwkThumbprint(next)];
    writeTokenKeys(world.tokenKeysFile, { ...file, acme: { keys: [old, next] } });
    await world.app.reload();
    const held = world.held();
    expect(kidOf((await world.ask()).body.access_token)).toBe(oldKid);
    await world.records(1);

    world.services.revokedKeys.add(oldKid);
    const { status, body } = await world.ask();
    expect([status, kidOf(body.access_token)]).toEqual([200, nextKid]);
    expect(await jwks()).toEqual([nextKid]);
    const [kept] = await world.records(1);
    expect(kept?.record.token?.kid).toBe(nextKid);
    await expectRefused(world, () => world.renew(held.token), {
      error: 'invalid_request',
      reason: 'token_key_unknown',
    });

    // A file that still has it does not bring it back.
    await world.app.reload();
    expect(await jwks()).toEqual([nextKid]);
    expect(kidOf((await world.ask()).body.access_token)).toBe(nextKid);
    await world.records(1);
  });

  it('leaves nothing to sign with where it was the last one', async () => {
    for (const kid of await jwks()) world.services.revokedKeys.add(kid);
    world.services.asked.length = 0;
    const { status, body } = await world.ask();
    expect([status, body]).toEqual([
      500,
      { error: 'server_error', error_description: 'Something failed inside.' },
    ]);
    expect(world.services.asked.map(({ method }) => method)).not.toContain('revocation.register');
    expect(await jwks()).toEqual([]);
    const [kept] = await world.records(1);
    expect(kept?.record).toMatchObject({ event: 'token.refused', reason: 'key_revoked' });
  });
});
