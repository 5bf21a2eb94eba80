import { createAgent } from '@remit/agent';
import { importSigner } from '@remit/capability/token';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { AUDIENCE, call, newId, openPoints, type Points } from './points.ts';
import { freshJwk } from './stage.ts';

// Several instances of one audience, each a server on its own socket, before a real revocation service.

let points: Points;
beforeAll(async () => {
  points = await openPoints();
});
afterAll(() => points?.[Symbol.asyncDispose]());
afterEach(() => points.closeAll());

const pair = (replay: 'own' | 'nonce' | 'shared') =>
  Promise.all([points.open('erp-1', { replay }), points.open('erp-2', { replay })]);

describe('a proof at two instances', () => {
  test('row 29: with a shared memory a proof is taken once over all instances, however many ask at once', async () => {
    const [one, other] = await pair('shared');
    const { token } = await points.mint();
    const headers = points.bound(token);
    expect((await call(one.url, headers)).status).toBe(200);
    expect(await call(other.url, headers)).toMatchObject({ status: 401, code: 'proof_replayed' });
    for (let round = 0; round < 5; round++) {
      const again = points.bound(token);
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, at) => call((at % 2 ? one : other).url, again)),
      );
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
      expect(new Set(answers.map(({ code }) => code))).toEqual(
        new Set([undefined, 'proof_replayed']),
      );
    }
    expect(one.ran.length + other.ran.length).toBe(6);
  });

  test('row 29: with a shared memory a restarted instance takes no proof that it took before', async () => {
    const one = await points.open('erp-1', { replay: 'shared' });
    const { token } = await points.mint();
    const headers = points.bound(token);
    expect((await call(one.url, headers)).status).toBe(200);
    await points.closeAll();
    const again = await points.open('erp-1', { replay: 'shared' });
    expect(await call(again.url, headers)).toMatchObject({ status: 401, code: 'proof_replayed' });
    expect(again.ran).toEqual([]);
  });

  test('row 29: with nonces a proof that one instance took fits no other, nor the same after a restart', async () => {
    const [one, other] = await pair('nonce');
    const { token } = await points.mint();
    const asked = await call(one.url, points.bound(token));
    expect(asked).toMatchObject({ status: 401, code: 'proof_nonce' });
    expect(asked.headers.get('www-authenticate')).toMatch(/^DPoP error="use_dpop_nonce", algs=/);
    expect(asked.headers.get('cache-control')).toBe('no-store');
    const headers = points.bound(token, { nonce: asked.headers.get('dpop-nonce') ?? '' });
    expect((await call(one.url, headers)).status).toBe(200);
    expect(await call(other.url, headers)).toMatchObject({ status: 401, code: 'proof_nonce' });
    expect(await call(one.url, headers)).toMatchObject({ status: 401, code: 'proof_replayed' });
    await one.close();
    const again = await points.open('erp-1', { replay: 'nonce' });
    expect(await call(again.url, headers)).toMatchObject({ status: 401, code: 'proof_nonce' });
    expect([one.ran.length, other.ran, again.ran]).toEqual([1, [], []]);
  });

  // What SECURITY.md says of the default, so that it says it as long as it is so.
  test('by default each instance remembers alone, and takes it once', async () => {
    const [one, other] = await pair('own');
    const { token } = await points.mint();
    const headers = points.bound(token);
    const statuses = [];
    for (const { url } of [one, other, one, other])
      statuses.push((await call(url, headers)).status);
    expect(statuses).toEqual([200, 200, 401, 401]);
  });

  test('is answered by the SDK without its caller: challenge, nonce, call', async () => {
    const [one, other] = await pair('nonce');
    const { token, task } = await points.mint();
    const seen: number[] = [];
    let instance = one;
    const agent = createAgent({
      issuer: 'https://issuer.test',
      clientId: 'procurement-agent',
      key: freshJwk(),
      proofKey: points.holderJwk,
      fetch: async (url, init) => {
        const answer = await fetch(url.replace(AUDIENCE, instance.url), init);
        seen.push(answer.status);
        return answer;
      },
    });
    const capability = agent.receive({
      token,
      audience: AUDIENCE,
      expiresAt: new Date(Date.now() + 60_000).toISOString(),
      permissions: [],
      task: { id: task.id, type: task.type, until: 0 },
    });
    const status = async () => (await capability.fetch(`${AUDIENCE}/suppliers/S-1`)).status;
    expect([await status(), await status(), seen]).toEqual([200, 200, [401, 200, 200]]);
    // The load balancer goes over to the other instance.
    instance = other;
    expect([await status(), seen.slice(3)]).toEqual([200, [401, 200]]);
    const order = await capability.fetch(`${AUDIENCE}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{ "amount": 7 }',
    });
    expect([order.status, other.ran.at(-1)]).toEqual([200, { amount: 7 }]);
  });
});

describe('a clock that is wrong', () => {
  test('row 16: the wall clock of an enforcement point, off by hours or put back, allows nothing and refuses only until the feed was asked', async () => {
    const point = await points.openElsewhere();
    const now = Math.floor(Date.now() / 1_000);
    const live = await points.mint();
    const over = await points.mint({
      issuedAt: now - 300,
      notBefore: now - 300,
      expiresAt: now - 1,
    });
    const early = await points.mint({
      issuedAt: now,
      notBefore: now + 60,
      expiresAt: now + 300,
    });
    // A clock that jumps ahead may be a machine that slept: nothing is allowed until a new head came.
    const shiftClock = async (hours: number) => {
      await point.shiftClock(hours);
      await expect
        .poll(async () => {
          const { status, code } = await call(point.url, points.bound(live.token));
          expect([200, 503]).toContain(status);
          return code ?? 'allowed';
        })
        .toBe('allowed');
    };
    for (const hours of [0, 1, -1, 24 * 365, -24 * 365]) {
      await shiftClock(hours);
      const at = (seconds: number) => ({ nowSeconds: Date.now() / 1_000 + seconds });
      expect(await call(point.url, points.bound(over.token))).toMatchObject({
        code: 'token_expired',
      });
      expect(await call(point.url, points.bound(early.token))).toMatchObject({
        code: 'token_not_yet_valid',
      });
      // A proof that fits the wrong clock is as old as it is.
      for (const seconds of [hours * 3_600 || 60, -60, 60]) {
        expect(await call(point.url, points.bound(live.token, at(seconds)))).toMatchObject({
          code: 'proof_expired',
        });
      }
      const used = points.bound(live.token);
      expect((await call(point.url, used)).status).toBe(200);
      await shiftClock(-hours);
      expect(await call(point.url, used)).toMatchObject({ code: 'proof_replayed' });
    }
    await points.rig.revoke('task', live.task.id);
    await point.shiftClock(-24);
    await expect
      .poll(async () => (await call(point.url, points.bound(live.token))).code)
      .toBe('task_revoked');
  });
});

describe('what a stranger learns', () => {
  test('row 71: whoever holds a token without its key is answered alike, whether it lives, is over, revoked or for nothing', async () => {
    const point = await points.open('erp-1');
    const now = Math.floor(Date.now() / 1_000);
    const live = await points.mint();
    const over = await points.mint({
      issuedAt: now - 300,
      notBefore: now - 300,
      expiresAt: now - 1,
    });
    const revoked = await points.mint();
    await points.rig.revoke('task', revoked.task.id);
    await expect
      .poll(async () => (await call(point.url, points.bound(revoked.token))).code)
      .toBe('task_revoked');
    const before = point.ran.length;
    const thief = await points.mint({ confirmation: { jkt: newId() + newId().slice(0, 21) } });
    const told = async (headers: Record<string, string>) => {
      const { status, body, headers: got } = await call(point.url, headers);
      const shown = [...got].filter(([name]) => !['date', 'remit-decision'].includes(name));
      return JSON.stringify([
        status,
        body.replace(/"decision":"[^"]+"/, ''),
        Object.fromEntries(shown),
      ]);
    };
    for (const headers of [
      (token: string) => ({ authorization: `DPoP ${token}` }),
      (token: string) => ({ authorization: `Bearer ${token}` }),
      (token: string) => ({ authorization: `DPoP ${token}`, dpop: 'a.b.c' }),
    ]) {
      const answers = new Set<string>();
      for (const { token } of [live, over, revoked, thief]) answers.add(await told(headers(token)));
      expect(answers.size).toBe(1);
    }
    const wrongKey = new Set<string>();
    for (const { token } of [over, revoked, thief]) {
      wrongKey.add(await told(points.bound(token, { signer: importSigner(freshJwk()) })));
    }
    expect(wrongKey.size).toBe(1);
    expect(point.ran).toHaveLength(before);
  });
});
