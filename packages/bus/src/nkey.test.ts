import { nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { expect, it } from 'vitest';
import { nkeyOf } from './nkey.ts';

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

it('answers a challenge exactly as the client’s own authenticator does', () => {
  for (let round = 0; round < 20; round++) {
    const seed = nkeys.createUser().getSeed();
    const own = nkeyOf(text(seed));
    // Twice, since the second answer comes from the key that the first one read.
    for (const nonce of ['', 'qGpd-9C5Fo0WhW8', crypto.randomUUID()]) {
      expect(own(nonce)).toEqual(nkeyAuthenticator(seed)(nonce));
    }
  }
});

it('refuses what is no seed of a user, and never shows it', () => {
  const seed = text(nkeys.createUser().getSeed());
  const account = text(nkeys.createAccount().getSeed());
  const typo = `${seed.slice(0, 20)}${seed[20] === 'A' ? 'B' : 'A'}${seed.slice(21)}`;
  for (const bad of ['', 'SU', seed.slice(0, -1), `${seed}A`, seed.toLowerCase(), typo, account]) {
    expect(() => nkeyOf(bad)('nonce')).toThrow(
      expect.objectContaining({ code: 'KEY_INVALID', message: 'not the nkey seed of a user' }),
    );
  }
});
