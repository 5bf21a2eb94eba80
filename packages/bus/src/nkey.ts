import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import type { Authenticator } from '@nats-io/transport-node';
import { BusError } from './error.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const PREFIX_SEED = 18 << 3;
const PREFIX_USER = 20 << 3;
/** Two bytes of prefix, the 32 of an Ed25519 seed, two of CRC-16. */
const SEED_BYTES = 36;
/** PKCS #8 of an Ed25519 key up to its 32 bytes (RFC 8410 section 7). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * Answers a nats-server's challenge with a user's nkey: as the client's own `nkeyAuthenticator` does,
 * but the key is read once and OpenSSL signs. The client's derives it anew in JavaScript at every
 * connect, 10 ms each, which is what a thousand that come back at once would wait for.
 * The authenticator throws BusError `KEY_INVALID` for what is no seed of a user; never with the seed.
 */
export function nkeyOf(seed: string): Authenticator {
  let pair: { nkey: string; key: KeyObject } | undefined;
  return (nonce) => {
    pair ??= readSeed(seed);
    const { nkey, key } = pair;
    const sig = nonce ? sign(null, Buffer.from(nonce, 'utf8'), key).toString('base64') : '';
    return { nkey, sig };
  };
}

function readSeed(seed: string): { nkey: string; key: KeyObject } {
  const bytes = decode(seed);
  if (bytes === undefined || !isUserSeed(bytes) || encode(bytes) !== seed) {
    throw new BusError('KEY_INVALID', 'not the nkey seed of a user');
  }
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8, bytes.subarray(2, 34)]),
    format: 'der',
    type: 'pkcs8',
  });
  const x = createPublicKey(key).export({ format: 'jwk' }).x as string;
  const body = Buffer.concat([Buffer.of(PREFIX_USER), Buffer.from(x, 'base64url')]);
  const check = Buffer.alloc(2);
  check.writeUInt16LE(crc16(body));
  return { nkey: encode(Buffer.concat([body, check])), key };
}

function isUserSeed(bytes: Buffer): boolean {
  // Five bits say that it is a seed, the next eight whose.
  const [first = 0, second = 0] = bytes;
  const whose = ((first & 7) << 5) | ((second & 248) >> 3);
  return (
    bytes.length === SEED_BYTES &&
    (first & 248) === PREFIX_SEED &&
    whose === PREFIX_USER &&
    bytes.readUInt16LE(34) === crc16(bytes.subarray(0, 34))
  );
}

/** CRC-16 with the polynomial 0x1021, as nkeys use it. */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc;
}

/** RFC 4648 base32 without padding. */
function encode(bytes: Uint8Array): string {
  let text = '';
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xffff;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(held >> (bits - 5)) & 31];
  }
  return bits > 0 ? text + ALPHABET[(held << (5 - bits)) & 31] : text;
}

function decode(text: string): Buffer | undefined {
  const bytes: number[] = [];
  let held = 0;
  let bits = 0;
  for (const char of text) {
    const value = ALPHABET.indexOf(char);
    if (value < 0) return undefined;
    held = ((held << 5) | value) & 0xffff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >> bits) & 255);
  }
  return Buffer.from(bytes);
}
