import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { createRevocationSet } from '@remit/revocation-view';
import type { Database } from '@remit/service-kit';
import { CompactSign, importJWK, type JWK } from 'jose';
import { type ListVersion, listVersion, lockBits, registeredOf, saveBits } from '../store/lists.ts';
import { type Point, readPoint } from '../store/point.ts';
import { entriesAfter, PAGE_ROWS, toEntry } from '../store/revocations.ts';
import type { Tables, Trx } from '../store/tables.ts';
import { CLOCK_SKEW_SECONDS } from './lifetimes.ts';
import { setBit, statusListClaim } from './status-bits.ts';

/** A signed status list as it goes over HTTP. */
export type StatusList = { jws: string; etag: string; iat: number; ttlSeconds: number };

export type StatusLists = {
  /** The list as of now, or undefined when there is none of this number. */
  get(tenant: string, list: number): Promise<StatusList | undefined>;
};

/** `exp` is this many times the `ttl` away. */
const LIVES_TTLS = 10;
const MAX_CACHED = 256;

/** Signs with a private Ed25519 JWK, `typ` statuslist+jwt. */
export async function createStatusSigner(jwk: JWK & { kid: string }) {
  const key = await importJWK(jwk, 'Ed25519');
  return (payload: object): Promise<string> =>
    new CompactSign(Buffer.from(JSON.stringify(payload)))
      .setProtectedHeader({ alg: 'Ed25519', kid: jwk.kid, typ: 'statuslist+jwt' })
      .sign(key);
}

/**
 * Token Status Lists of a tenant's registered tokens. A list is made again when a revocation or a
 * token that was dead when it was registered came in, and when half its `ttl` is over; meanwhile the
 * signed one is served from memory. What was shown once is kept in the database and never taken back.
 */
export function createStatusLists(options: {
  database: Database<Tables>;
  sign: (payload: object) => Promise<string>;
  uri: (tenant: string, list: number) => string;
  ttlSeconds: number;
  onMade?: (seconds: number) => void;
}): StatusLists {
  const { database, sign, uri, ttlSeconds, onMade } = options;
  const cache = new Map<string, { version: ListVersion; made: Promise<StatusList> }>();

  async function make(tenant: string, list: number): Promise<StatusList> {
    const started = performance.now();
    const { bits, iat } = await database.withTenant(tenant, (trx) =>
      computeBits(trx, tenant, list),
    );
    const jws = await sign({
      sub: uri(tenant, list),
      iat,
      exp: iat + ttlSeconds * LIVES_TTLS,
      ttl: ttlSeconds,
      status_list: statusListClaim(bits),
    });
    onMade?.((performance.now() - started) / 1_000);
    const etag = `"${createHash('sha256').update(jws).digest('base64url')}"`;
    return { jws, etag, iat, ttlSeconds };
  }

  return {
    get: async (tenant, list) => {
      const { version, nowSeconds } = await database.withTenant(tenant, async (trx) => ({
        version: await listVersion(trx, tenant, list),
        nowSeconds: Math.floor((await readPoint(trx, tenant)).timeMs / 1_000),
      }));
      if (version === undefined) return undefined;
      const key = `${tenant}/${list}`;
      const known = cache.get(key);
      if (known && isDeepStrictEqual(known.version, version)) {
        const shown = await known.made;
        if (nowSeconds - shown.iat < ttlSeconds / 2) return shown;
      }
      const made = make(tenant, list);
      cache.delete(key);
      cache.set(key, { version, made });
      if (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value as string);
      made.catch(() => {
        if (cache.get(key)?.made === made) cache.delete(key);
      });
      return made;
    },
  };
}

/** The bits of a list: what was shown before, and every registered token that is revoked by now. */
async function computeBits(
  trx: Trx,
  tenant: string,
  list: number,
): Promise<{ bits: Uint8Array; iat: number }> {
  const shown = await lockBits(trx, tenant, list);
  const bits = Uint8Array.from(shown.bits);
  const point = await readPoint(trx, tenant);
  const iat = Math.floor(point.timeMs / 1_000);
  if (shown.epoch !== point.epoch) {
    // All its tokens are dead, also those whose registration a restored store doesn't have.
    bits.fill(0xff);
    await saveBits(trx, tenant, list, bits);
    return { bits, iat };
  }
  const aliveAt = iat - CLOCK_SKEW_SECONDS;
  const set = createRevocationSet({ tenant });
  for await (const entry of aliveEntries(trx, tenant, point, aliveAt)) set.learn(entry);
  for (const { idx, subjects } of await registeredOf(trx, tenant, list, aliveAt)) {
    if (subjects.rev.epoch !== point.epoch || set.hit(subjects)) setBit(bits, idx);
  }
  await saveBits(trx, tenant, list, bits);
  return { bits, iat };
}

async function* aliveEntries(trx: Trx, tenant: string, point: Point, aliveAt: number) {
  let after = 0;
  for (;;) {
    const rows = await entriesAfter(trx, tenant, { after, upTo: point.seq, aliveAt });
    for (const row of rows) yield toEntry(row, point.epoch);
    if (rows.length < PAGE_ROWS) return;
    after = (rows.at(-1) as (typeof rows)[number]).seq;
  }
}
