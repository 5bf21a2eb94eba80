import { generateKeyPairSync } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server as TcpServer,
} from 'node:net';
import { importSigner } from '@remit/capability/token';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { AUDIENCE, call, newId, openPoints, type Points } from './points.ts';
import { claimsOf, freshJwk } from './stage.ts';

// What reaches an enforcement point in other bytes than were signed: tokens, key sets, bodies.

let points: Points;
beforeAll(async () => {
  points = await openPoints();
});
afterAll(() => points?.[Symbol.asyncDispose]());
afterEach(() => points.closeAll());

const freshEd25519 = () => ({
  ...generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }),
  alg: 'Ed25519',
});

describe('a signature', () => {
  /** ML-DSA-65 (FIPS 204): 48 bytes c̃, 3,200 of z, then 55 hint places and 6 counters. */
  const [HINTS, COUNTERS, END] = [3_248, 3_303, 3_309];

  test('row 13: no other encoding of a good ML-DSA signature is taken: hints doubled, unsorted, padded, counters off, z out of range', async () => {
    const point = await points.open('erp-1');
    const { token } = await points.mint();
    const [h, p, s] = token.split('.') as [string, string, string];
    const good = Buffer.from(s, 'base64url');
    expect(good).toHaveLength(END);
    const counters = [...good.subarray(COUNTERS)];
    const total = counters.at(-1) as number;
    // A polynomial with two hints, whose order can be changed; hints are few, so padding is there too.
    const row = counters.findIndex((end, at) => end - (counters[at - 1] ?? 0) >= 2);
    const place = HINTS + (counters[row - 1] ?? 0);
    expect([row >= 0, total < 55]).toEqual([true, true]);
    const changed = (change: (bytes: Buffer) => void) => {
      const copy = Buffer.from(good);
      change(copy);
      expect(copy.equals(good)).toBe(false);
      return copy;
    };
    const [first, second] = [good[place] as number, good[place + 1] as number];
    for (const wrong of [
      changed((b) => b.set([second, first], place)),
      changed((b) => b.set([first, first], place)),
      changed((b) => b.set([1], HINTS + total)),
      changed((b) => b.set([255], COUNTERS - 1)),
      changed((b) => b.set([(counters.at(-1) as number) + 1], END - 1)),
      changed((b) => b.set([56], END - 1)),
      changed((b) => b.set([255], COUNTERS)),
      changed((b) => b.set([0], END - 1)),
      changed((b) => b.set([0, 0, (b[50] as number) & 0xf0], 48)),
      changed((b) => b.set([255, 255, 255], 48)),
      changed((b) => b.fill(0, 0, 48)),
      changed((b) => b.fill(0, HINTS, END)),
    ]) {
      const forged = `${h}.${p}.${wrong.toString('base64url')}`;
      expect(await call(point.url, points.bound(forged))).toMatchObject({
        status: 401,
        code: 'token_signature',
      });
    }
    // The same bytes in another spelling of base64url are another text.
    const loose = `${h}.${p}.${s}`;
    for (const spelt of [`${loose}=`, `${loose}==`, loose.replace(/.$/, (c) => `${c}A`)]) {
      expect((await call(point.url, points.bound(spelt))).status).toBe(401);
    }
    expect(point.ran).toEqual([]);
    expect((await call(point.url, points.bound(token))).status).toBe(200);
  });
});

describe('the keys of the issuer', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });
  async function listen(answer: RequestListener): Promise<string> {
    const server = createServer(answer);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  test('row 69: a key set that redirects, is huge, slow or private gives no key and sends nobody anywhere', async () => {
    const { rig } = points;
    const keys = { keys: rig.infra.keys.tokenPublicKeys('acme') };
    let inner = 0;
    const metadataService = await listen((_request, response) => {
      inner += 1;
      response.end(JSON.stringify(keys));
    });
    const modes: Record<string, RequestListener> = {
      redirect: (_request, response) => {
        response.writeHead(302, { location: metadataService }).end();
      },
      huge: (_request, response) => {
        response.end(JSON.stringify({ ...keys, pad: 'x'.repeat(300_000) }));
      },
      private: (_request, response) => {
        response.end(JSON.stringify({ keys: [...keys.keys, freshJwk()] }));
      },
      slow: (_request, response) => {
        response.write('{"keys":[');
      },
    };
    for (const [mode, answer] of Object.entries(modes)) {
      const jwksUri = await listen(answer);
      const trust = structuredClone(rig.infra.trust());
      const tenant = trust.tenants['acme'];
      if (tenant) tenant.jwks_uri = jwksUri;
      const point = await points.open('erp-1', { trust, fetch });
      const { token } = await points.mint();
      const startedAt = performance.now();
      expect(await call(point.url, points.bound(token)), mode).toMatchObject({
        status: 401,
        code: 'token_key_unknown',
      });
      expect(performance.now() - startedAt).toBeLessThan(3_000);
      expect(point.ran).toEqual([]);
      await points.closeAll();
    }
    expect(inner).toBe(0);
  });

  test('row 14: the next key is taken when it is published, a withdrawn one no more, a revoked one at once', async () => {
    const { rig, issuerKey } = points;
    const trust = structuredClone(rig.infra.trust());
    const [old] = rig.infra.keys.tokenPublicKeys('acme');
    const next = importSigner(freshEd25519());
    let published: object[] = [old as object];
    const tenant = trust.tenants['acme'];
    if (tenant) {
      tenant.jwks_uri = await listen((_request, response) => {
        response.end(JSON.stringify({ keys: published }));
      });
    }
    const point = await points.open('erp-1', { trust, fetch });
    const signedBy = async (signer = next) => {
      const { token } = await points.mint();
      return signer.sign({ typ: 'at+jwt' }, { ...claimsOf(token), jti: newId() });
    };
    const [first, second] = [await signedBy(issuerKey), await signedBy()];
    const code = async (token: string) => (await call(point.url, points.bound(token))).code;
    expect([await code(first), await code(second)]).toEqual([undefined, 'token_key_unknown']);
    published = [old as object, next.publicJwk];
    await expect.poll(() => code(second), { timeout: 5_000 }).toBeUndefined();
    expect(await code(first)).toBeUndefined();
    published = [next.publicJwk];
    const stranger = await signedBy(importSigner(freshEd25519()));
    await expect
      .poll(async () => [await code(stranger), await code(first)], { timeout: 5_000 })
      .toEqual(['token_key_unknown', 'token_key_unknown']);
    expect(await code(second)).toBeUndefined();
    await rig.revoke('key', next.kid);
    await expect.poll(() => code(second)).toBe('key_revoked');
    const before = point.ran.length;
    expect(await code(await signedBy())).toBe('key_revoked');
    expect(point.ran).toHaveLength(before);
  });
});

describe('a body that is rewritten on its way', () => {
  const gateways: TcpServer[] = [];
  afterEach(() => {
    for (const server of gateways.splice(0)) server.close();
  });

  /** A gateway that changes what passes through it, byte for byte of the same length. */
  async function gateway(to: string, rewrite: (text: string) => string): Promise<string> {
    const { port } = new URL(to);
    const server = createTcpServer((client) => {
      const upstream = connect(Number(port), '127.0.0.1');
      client.on('data', (chunk) => upstream.write(rewrite(chunk.toString('latin1')), 'latin1'));
      upstream.pipe(client);
      client.on('close', () => upstream.destroy());
      for (const socket of [client, upstream]) socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    gateways.push(server);
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  test('row 73: a proof for a body refuses every other one, also one that the token would allow', async () => {
    const point = await points.open('erp-1');
    const { token } = await points.mint();
    const body = '{"amount":1000}';
    const post = async (url: string, sent = body) => {
      const proof = points.prove(token, {
        method: 'POST',
        url: `${AUDIENCE}/orders`,
        body: Buffer.from(body),
      });
      const response = await fetch(`${url}/orders`, {
        method: 'POST',
        headers: {
          authorization: `DPoP ${token}`,
          dpop: proof,
          'content-type': 'application/json',
        },
        body: sent,
      });
      return [response.status, /"code":"(\w+)"/.exec(await response.text())?.[1]];
    };
    for (const rewrite of [
      (text: string) => text.replace('"amount":1000', '"amount":4999'),
      (text: string) => text.replace('"amount":1000', '"amount":1e3 '),
      (text: string) => text.replace('{"amount":1000}', '{ "amount":99 }'),
    ]) {
      const through = await gateway(point.url, rewrite);
      expect(await post(through)).toEqual([401, 'proof_body']);
    }
    expect(point.ran).toEqual([]);
    expect(await post(point.url, '')).toEqual([400, 'FST_ERR_CTP_EMPTY_JSON_BODY']);
    const through = await gateway(point.url, (text) => text);
    expect(await post(through)).toEqual([200, undefined]);
    expect(point.ran).toEqual([{ amount: 1_000 }]);
  });
});
