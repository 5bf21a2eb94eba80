import { randomUUID } from 'node:crypto';
import { importSigner, type Signer } from '@remit/capability/token';
import { beforeAll, describe, expect, test } from 'vitest';
import { b64, claimsOf, freshJwk, raw, type Stage, summaryOf } from '../stage.ts';

/** Stolen tokens, used proofs and two tokens at once, at the tool of a running deployment. */
export function stolenTokens(at: () => Stage): void {
  let stage: Stage;
  let good: string;
  let url: string;
  let thief: Signer;

  beforeAll(async () => {
    stage = at();
    good = (await summaryOf(stage)).token;
    url = `${stage.world.erp.url}/suppliers/S-100`;
    thief = importSigner(freshJwk());
  });

  const refuse = (headers: Record<string, string>, reason: string) =>
    stage.refused({ headers }, { status: 401, reason });
  const withProof = (dpop: string) => ({ authorization: `DPoP ${good}`, dpop });
  /** A proof of the right key with header and claims as they are given. */
  const written = (change: Record<string, unknown>, header: Record<string, unknown> = {}) =>
    stage.proofKey.sign(
      { typ: 'dpop+jwt', jwk: stage.proofKey.publicJwk, ...header },
      {
        jti: randomUUID(),
        htm: 'GET',
        htu: url,
        iat: Math.floor(Date.now() / 1_000),
        ath: claimsOf(stage.credentials(good)['dpop'] as string)['ath'],
        ...change,
      },
    );

  describe('a stolen token', () => {
    test('row 28: is worth nothing without its key: no proof, the thief’s proof, the Bearer scheme', async () => {
      await refuse({ authorization: `DPoP ${good}` }, 'proof_required');
      await refuse(stage.credentials(good, { signer: thief }), 'proof_key');
      await refuse({ authorization: `Bearer ${good}` }, 'proof_scheme');
      const { dpop = '' } = stage.credentials(good);
      await refuse({ authorization: `Bearer ${good}`, dpop }, 'proof_scheme');
    });

    test('row 28: a token that names no key comes under Bearer alone', async () => {
      const { cnf: _cnf, ...unbound } = claimsOf(good);
      const bearer = stage
        .tokenKey('acme')
        .sign({ typ: 'at+jwt' }, { ...unbound, jti: 'bearer-1' });
      await refuse(stage.credentials(bearer), 'proof_scheme');
      for (const cnf of [{}, { jkt: '' }, { jkt: null }, null, { jkt: 'x', 'x5t#S256': 'y' }]) {
        const broken = stage.tokenKey('acme').sign({ typ: 'at+jwt' }, { ...unbound, cnf });
        await refuse({ authorization: `Bearer ${broken}` }, 'token_malformed');
      }
    });

    test('row 28: a proof that only claims the right key does not verify', async () => {
      const forged = thief.sign(
        { typ: 'dpop+jwt', jwk: stage.proofKey.publicJwk },
        claimsOf(stage.credentials(good)['dpop'] as string),
      );
      await refuse(withProof(forged), 'proof_invalid');
    });
  });

  describe('a proof', () => {
    test('row 29: is taken once', async () => {
      const headers = stage.credentials(good);
      expect((await fetch(url, { headers })).status).toBe(200);
      await refuse(headers, 'proof_replayed');
      await refuse(headers, 'proof_replayed');
    });

    test('row 29: with the jti of an earlier one is a replay, whatever else it says', async () => {
      const jti = randomUUID();
      const first = stage.credentials(good, { jti });
      expect((await fetch(url, { headers: first })).status).toBe(200);
      await refuse(
        stage.credentials(good, { jti, nowSeconds: Date.now() / 1_000 - 2 }),
        'proof_replayed',
      );
    });

    test('row 29: of a caller at once is taken once', async () => {
      const headers = stage.credentials(good);
      const answers = await Promise.all(Array.from({ length: 12 }, () => fetch(url, { headers })));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
      expect(answers.filter(({ status }) => status === 401)).toHaveLength(11);
    });

    test('row 29: from before or after the window is refused', async () => {
      const now = Date.now() / 1_000;
      for (const nowSeconds of [0, now - 3_600, now - 15, now + 15, now + 3_600]) {
        await refuse(stage.credentials(good, { nowSeconds }), 'proof_expired');
      }
      for (const iat of [undefined, null, String(now), now * 1_000 + 0.5, Number.NaN]) {
        await refuse(withProof(written({ iat })), 'proof_invalid');
      }
    });

    test('row 30: for another method, host, port, scheme, path or token is for another call', async () => {
      const here = stage.world.erp.url;
      for (const method of ['POST', 'get', 'HEAD', '']) {
        await refuse(withProof(written({ htm: method })), 'proof_binding');
      }
      for (const htu of [
        `${here}/suppliers/S-200`,
        `${here}/suppliers/s-100`,
        `${here}/suppliers/S-100/`,
        `${here}//suppliers/S-100`,
        `${here}/suppliers%2FS-100`,
        `${here}/suppliers/S-100;x`,
        `${here}/suppliers/S-100/risk/../../S-200`,
        url.replace('http:', 'https:'),
        url.replace('127.0.0.1', 'localhost'),
        url.replace(/:\d+\//, '/'),
        url.replace('http://', 'http://alice@'),
        `${stage.demo.stack.urls['erp-2'] as string}/suppliers/S-100`,
        '/suppliers/S-100',
        ' ',
        `${url}\n`,
        url.replace('/suppliers', '\\suppliers'),
      ]) {
        await refuse(withProof(written({ htu })), 'proof_binding');
      }
      for (const ath of [undefined, '', b64('another'), null, ['x']]) {
        await refuse(withProof(written({ ath })), 'proof_binding');
      }
      const other = (await summaryOf(stage)).token;
      const { dpop = '' } = stage.credentials(other);
      await refuse(withProof(dpop), 'proof_binding');
    });

    test('row 30: with a private key, another type, algorithm, key or header is none', async () => {
      const { d } = freshJwk() as { d: string };
      const jwk = stage.proofKey.publicJwk;
      for (const header of [
        { jwk: { ...jwk, d } },
        { typ: 'JWT' },
        { typ: 'at+jwt' },
        { jku: url },
        { crit: ['htm'] },
        { jwk: { kty: 'oct', k: 'AAAA' } },
        { jwk: [] },
        { jwk: { ...jwk, crv: 'P-384' } },
      ]) {
        await refuse(withProof(written({}, header)), 'proof_invalid');
      }
      for (const change of [{ jti: '' }, { jti: 'short' }, { jti: 7 }, { jti: 'x'.repeat(300) }]) {
        await refuse(withProof(written(change)), 'proof_invalid');
      }
      const [, payload, signature] = written({}).split('.');
      for (const alg of ['none', 'HS256', 'ML-DSA-65', 'ES384']) {
        const head = b64({ alg, typ: 'dpop+jwt', jwk });
        await refuse(withProof(`${head}.${payload}.${signature}`), 'proof_invalid');
        await refuse(withProof(`${head}.${payload}.`), 'proof_invalid');
      }
    });
  });

  describe('one token decides alone', () => {
    test('row 43: two tokens, two proofs or two schemes in one call are refused', async () => {
      const call = async (lines: string[]) => {
        const before = await stage.world.erp.counts();
        const text = await raw(
          url,
          `GET /suppliers/S-100 HTTP/1.1\r\nhost: ${new URL(url).host}\r\nconnection: close\r\n${lines.join('\r\n')}\r\n\r\n`,
        );
        expect(await stage.world.erp.counts()).toEqual(before);
        return [Number(text.split(' ')[1]), /"code":"(\w+)"/.exec(text)?.[1]];
      };
      const first = stage.credentials(good);
      const second = stage.credentials((await summaryOf(stage)).token);
      const line = (name: string, value = '') => `${name}: ${value}`;
      expect(
        await call([
          line('authorization', first['authorization']),
          line('Authorization', second['authorization']),
          line('dpop', first['dpop']),
        ]),
      ).toEqual([401, 'token_malformed']);
      expect(
        await call([
          line('authorization', first['authorization']),
          line('dpop', first['dpop']),
          line('DPoP', second['dpop']),
        ]),
      ).toEqual([401, 'proof_invalid']);
      expect(
        await call([
          line('authorization', `${first['authorization']}, ${second['authorization']}`),
          line('dpop', first['dpop']),
        ]),
      ).toEqual([401, 'token_malformed']);
      expect(
        await call([
          line('authorization', first['authorization']),
          line('dpop', `${first['dpop']}, ${second['dpop']}`),
        ]),
      ).toEqual([401, 'proof_invalid']);
    });

    test('row 43: the action of one token does not meet the resource of another', async () => {
      const terms = await stage.agent.startTask({
        idToken: await stage.world.signIn('carol'),
        taskType: 'review-contract-terms',
        slots: { contract: 'C-7' },
        resource: stage.world.erp.url,
      });
      const id = await stage.refused(
        { headers: stage.credentials(terms.token) },
        {
          status: 403,
          reason: 'scope_action',
          by: { user: 'carol', agents: ['procurement-agent'] },
        },
      );
      const line = await stage.world.ledger.line(id);
      expect(line.record.dimensions?.task).toBe('deny');
    });

    test('row 49: tokens that differ in one claim are judged apart, in either order', async () => {
      const claims = claimsOf(good);
      const sign = (change: object) =>
        stage.tokenKey('acme').sign({ typ: 'at+jwt' }, { ...claims, ...change });
      const [detail] = claims['authorization_details'] as Record<string, unknown>[];
      const other = sign({
        authorization_details: [{ ...detail, resources: ['erp/suppliers/S-200'] }],
      });
      const by = { user: 'alice', agents: ['procurement-agent'] };
      for (let i = 0; i < 2; i++) {
        expect((await fetch(url, { headers: stage.credentials(good) })).status).toBe(200);
        await stage.refused(
          { headers: stage.credentials(other) },
          { status: 403, reason: 'scope_resource', by },
        );
      }
      // The same jti, bound to the thief’s key: a cache that went by the id would take it.
      const bound = sign({ cnf: { jkt: thief.kid } });
      await refuse(stage.credentials(bound), 'proof_key');
      expect((await fetch(url, { headers: stage.credentials(good) })).status).toBe(200);
    });
  });
}
