import { createHmac, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { importSigner, type Signer } from '@remit/capability/token';
import { beforeAll, describe, expect, test } from 'vitest';
import { b64, claimsOf, type Stage, summaryOf } from '../stage.ts';

/** Tokens of an attacker, sent to the tool of a running deployment. */
export function forgedTokens(at: () => Stage): void {
  let stage: Stage;
  let good: string;
  let claims: Record<string, unknown>;
  let issuer: Signer;

  beforeAll(async () => {
    stage = at();
    good = (await summaryOf(stage)).token;
    claims = claimsOf(good);
    issuer = stage.tokenKey('acme');
  });

  /** Refused for a reason, and counted: nobody proved who they are. */
  const refuse = (token: string, reason: string) =>
    stage.refused({ headers: stage.credentials(token) }, { status: 401, reason });
  /** A token that the issuer's key signed, though the issuer would never write it. */
  const minted = (change: Record<string, unknown>) => {
    const made: Record<string, unknown> = { ...claims, ...change };
    for (const [name, value] of Object.entries(made)) if (value === undefined) delete made[name];
    return issuer.sign({ typ: 'at+jwt' }, made);
  };
  const header = (more: Record<string, unknown> = {}) => ({
    alg: 'ML-DSA-65',
    kid: issuer.kid,
    typ: 'at+jwt',
    ...more,
  });
  const parts = () => good.split('.') as [string, string, string];

  test('the token itself is good, and so is its first forgery: the rows below refuse for their own reason', async () => {
    const response = await fetch(`${stage.world.erp.url}/suppliers/S-100`, {
      headers: stage.credentials(good),
    });
    expect(response.status).toBe(200);
    const again = await fetch(`${stage.world.erp.url}/suppliers/S-100`, {
      headers: stage.credentials(minted({ ignored: true })),
    });
    expect(again.status).toBe(200);
  });

  describe('algorithms and keys', () => {
    test.each(['none', 'None', 'nOnE', '', null, 'RS256', 'ES256', 'constructor', ['ML-DSA-65']])(
      'row 1: alg %j is not accepted, signed or not',
      async (alg) => {
        for (const sig of ['', parts()[2]]) {
          await refuse(`${b64(header({ alg }))}.${parts()[1]}.${sig}`, 'token_algorithm');
        }
      },
    );

    test('row 1: a token without its signature, or with an empty one, is refused', async () => {
      const [h, p] = parts();
      await refuse(`${h}.${p}.`, 'token_signature');
      await refuse(`${h}.${p}`, 'token_malformed');
    });

    test('row 2: HMAC keyed with the public key is not accepted, in whatever form the key is', async () => {
      const { keys } = (await (await fetch(`${claims['iss'] as string}/jwks.json`)).json()) as {
        keys: Record<string, string>[];
      };
      const jwk = keys[0] as Record<string, string>;
      const pem = createPublicKey({ key: jwk, format: 'jwk' })
        .export({ type: 'spki', format: 'pem' })
        .toString();
      for (const secret of [pem, `\n ${pem}`, JSON.stringify(jwk), jwk['pub'] as string]) {
        for (const alg of ['HS256', 'HS384', 'HS512']) {
          const input = `${b64(header({ alg }))}.${parts()[1]}`;
          const hash = alg.replace('HS', 'sha');
          const mac = createHmac(hash, secret).update(input).digest('base64url');
          await refuse(`${input}.${mac}`, 'token_algorithm');
        }
      }
    });

    test('row 3: a signature of one algorithm under the kid of a key for another is refused', async () => {
      const { privateKey } = generateKeyPairSync('ed25519');
      const own = importSigner({ ...privateKey.export({ format: 'jwk' }), alg: 'Ed25519' });
      const [h, p, s] = own.sign({ typ: 'at+jwt' }, claims).split('.') as [string, string, string];
      expect(h).not.toBe('');
      await refuse(`${b64(header({ alg: 'Ed25519' }))}.${p}.${s}`, 'token_algorithm');
      await refuse(`${b64(header({ alg: 'ML-DSA-44' }))}.${p}.${s}`, 'token_algorithm');
    });

    test('row 4: key ids that are paths, SQL, names of a prototype, long or missing name no key', async () => {
      const kids = [
        '../../x',
        "' OR 1=1--",
        '__proto__',
        'k'.repeat(6_000),
        'a\u0000b',
        '',
        null,
        7,
      ];
      for (const kid of [...kids, undefined]) {
        await refuse(`${b64(header({ kid }))}.${parts()[1]}.${b64('s')}`, 'token_key_unknown');
      }
    });

    test('row 5: a key, or the address of one, in the header is refused and nobody is asked', async () => {
      let asked = 0;
      const server = createServer((_request, response) => {
        asked += 1;
        response.end('{"keys":[]}');
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
      const { privateKey } = generateKeyPairSync('ed25519');
      const own = importSigner({ ...privateKey.export({ format: 'jwk' }), alg: 'Ed25519' });
      for (const more of [{ jwk: own.publicJwk }, { jku: url }, { x5u: url }, { x5c: ['MII='] }]) {
        const input = `${b64(header(more))}.${parts()[1]}`;
        await refuse(`${input}.${parts()[2]}`, 'token_malformed');
      }
      await refuse(
        own.sign({ typ: 'at+jwt', jku: url }, { ...claims, iss: url }),
        'token_malformed',
      );
      expect(asked).toBe(0);
      server.close();
    });

    test.each([{ crit: ['x'], x: 1 }, { crit: [] }, { b64: false, crit: ['b64'] }, { zip: 'DEF' }])(
      'row 6: the header parameters %j are refused',
      async (more) => {
        await refuse(`${b64(header(more))}.${parts()[1]}.${parts()[2]}`, 'token_malformed');
      },
    );

    test('row 7: key ids at a high rate make the issuer be asked once per cool-down', async () => {
      const asked = async () => {
        const text = await (await fetch(`${stage.demo.stack.urls['issuer']}/metrics`)).text();
        const line = text.split('\n').find((each) => /requests_total\{.*jwks\.json/.test(each));
        return Number(line?.split(' ').at(-1) ?? 0);
      };
      const [before, startedAt] = [await asked(), performance.now()];
      for (let i = 0; i < 10; i++) {
        const flood = Array.from({ length: 20 }, async () => {
          const kid = randomBytes(8).toString('hex');
          const token = `${b64(header({ kid }))}.${parts()[1]}.${b64('s')}`;
          const url = `${stage.world.erp.url}/suppliers/S-100`;
          return (await fetch(url, { headers: stage.credentials(token) })).status;
        });
        expect(new Set(await Promise.all(flood))).toEqual(new Set([401]));
      }
      const coolDowns = Math.ceil((performance.now() - startedAt) / 2_000) + 1;
      expect((await asked()) - before).toBeLessThanOrEqual(coolDowns);
    });
  });

  describe('other things in place of a token', () => {
    test('row 8: an ID token, an assertion, a status list, a proof and a token of another type are no access token', async () => {
      const { uri } = (claims['status'] as { status_list: { uri: string } }).status_list;
      const list = await (await fetch(uri)).text();
      const { dpop = '' } = stage.credentials(good);
      await refuse(await stage.world.signIn('alice'), 'token_algorithm');
      await refuse(dpop, 'token_algorithm');
      await refuse(list, 'token_malformed');
      await refuse(await stage.agent.actorToken(), 'token_malformed');
      for (const typ of ['JWT', 'statuslist+jwt', 'remit-link+jwt', 'dpop+jwt', 'at+jwt2', '']) {
        await refuse(issuer.sign({ typ }, claims), 'token_malformed');
      }
    });

    test('row 9: other serialisations, encodings and repetitions of a good token are malformed', async () => {
      const [h, p, s] = parts();
      const twice = JSON.stringify(claims).replace('{', `{"sub":"dora",`);
      for (const token of [
        JSON.stringify({ protected: h, payload: p, signature: s }),
        `${h}.${p}.${s}.${s}`,
        `${h}.${p}.${s}=`,
        `${h}=.${p}.${s}`,
        `${h}.${p.slice(0, -1)}+.${s}`,
        `${b64(`\ufeff${JSON.stringify(header())}`)}.${p}.${s}`,
        `${Buffer.from(JSON.stringify(header()), 'utf16le').toString('base64url')}.${p}.${s}`,
        `${b64(`{"alg":"none",${JSON.stringify(header()).slice(1)}`)}.${p}.${s}`,
        `${b64(`${JSON.stringify(header())} x`)}.${p}.${s}`,
        issuer.sign({ typ: 'at+jwt' }, twice),
        issuer.sign({ typ: 'at+jwt' }, `\ufeff${JSON.stringify(claims)}`),
        issuer.sign({ typ: 'at+jwt' }, `${JSON.stringify(claims)}{}`),
        issuer.sign({ typ: 'at+jwt' }, JSON.stringify([claims])),
        issuer.sign({ typ: 'at+jwt' }, 'null'),
        `${good} ${good}`,
        `${good},${good}`,
      ]) {
        await refuse(token, 'token_malformed');
      }
      await refuse(`${h}.${p}.${s}~`, 'link_malformed');
    });

    test('row 10: claims that are not the signed ones are never read', async () => {
      const [h, , s] = parts();
      const widened = b64({ ...claims, sub: 'dora' });
      await refuse(`${h}.${widened}.${s}`, 'token_signature');
      const outer = b64({ payload: claims, sub: 'dora', sig: s });
      await refuse(`${h}.${outer}.${s}`, 'token_signature');
      await refuse(`${good}.${widened}`, 'token_malformed');
      // A token in the address or in another header is none.
      const path = `/suppliers/S-100?access_token=${good}`;
      await stage.refused({ path }, { status: 401, reason: 'token_missing' });
      for (const name of ['x-authorization', 'cookie', 'proxy-authorization']) {
        const headers = { [name]: `DPoP ${good}` };
        await stage.refused({ headers }, { status: 401, reason: 'token_missing' });
      }
    });

    test('row 11: the keys of another tenant’s issuer sign nothing here', async () => {
      const other = stage.tokenKey('globex');
      const iss = `${stage.demo.stack.urls['issuer']}/t/globex`;
      await refuse(other.sign({ typ: 'at+jwt' }, claims), 'token_key_unknown');
      await refuse(
        other.sign({ typ: 'at+jwt' }, { ...claims, iss, tenant: 'globex' }),
        'token_key_unknown',
      );
      const [, p, s] = other.sign({ typ: 'at+jwt' }, claims).split('.') as [string, string, string];
      await refuse(`${parts()[0]}.${p}.${s}`, 'token_signature');
      await refuse(minted({ iss }), 'token_issuer');
      await refuse(minted({ tenant: 'globex' }), 'token_issuer');
    });

    test('row 12: an audience that is almost this one is another', async () => {
      const here = claims['aud'] as string;
      for (const aud of [
        `${here}/`,
        here.slice(0, -1),
        `${here}0`,
        here.replace('127.0.0.1', '127.1'),
        here.replace('127.0.0.1', 'localhost'),
        here.toUpperCase(),
        here.replace('http:', 'https:'),
        `${here}#`,
        `${here}?`,
        ` ${here}`,
        here.replace('1', '\uff11'),
        stage.demo.stack.urls['erp-2'] as string,
        claims['iss'] as string,
      ]) {
        await refuse(minted({ aud }), 'token_audience');
      }
      for (const aud of [
        [here],
        [here, 'https://other.example'],
        { [here]: 1 },
        '',
        null,
        undefined,
      ]) {
        await refuse(minted({ aud }), 'token_malformed');
      }
    });

    test('row 13: a signature that is changed, cut, too long or made in another context is none', async () => {
      const [h, p, s] = parts();
      const bytes = Buffer.from(s, 'base64url');
      const flipped = [0, 31, 48, 1_700, bytes.length - 62, bytes.length - 1].map((place) => {
        const copy = Buffer.from(bytes);
        copy[place] = (copy[place] as number) ^ 1;
        return copy;
      });
      for (const wrong of [
        ...flipped,
        bytes.subarray(0, -1),
        bytes.subarray(1),
        Buffer.concat([bytes, Buffer.alloc(1)]),
        Buffer.alloc(bytes.length),
        Buffer.alloc(bytes.length, 0xff),
        Buffer.from([0]),
      ]) {
        await refuse(`${h}.${p}.${wrong.toString('base64url')}`, 'token_signature');
      }
    });

    test('row 15: times that are missing, no whole seconds, over or too far apart are refused', async () => {
      const now = Math.floor(Date.now() / 1_000);
      const wrong: [Record<string, unknown>, string][] = [
        ...['exp', 'nbf', 'iat'].flatMap((name): [Record<string, unknown>, string][] =>
          [undefined, null, String(now), Number.NaN, -1, 1.5, 1e308, 2 ** 53, [now]].map(
            (value) => [{ [name]: value }, 'token_malformed'],
          ),
        ),
        [{ iat: now - 600, nbf: now - 600, exp: now - 1 }, 'token_expired'],
        [{ iat: now - 600, nbf: now - 600, exp: now }, 'token_expired'],
        [{ iat: now, nbf: now + 60, exp: now + 120 }, 'token_not_yet_valid'],
        [{ iat: now + 60, nbf: now, exp: now + 120 }, 'token_not_yet_valid'],
        [{ iat: now, nbf: now, exp: now + 901 }, 'token_lifetime'],
        [{ iat: now, nbf: now, exp: (now + 300) * 1_000 }, 'token_lifetime'],
        [{ iat: 0, nbf: 0, exp: now + 300 }, 'token_lifetime'],
        [{ iat: now, nbf: now, exp: now }, 'token_malformed'],
      ];
      const known = new Set(['token_expired', 'token_not_yet_valid']);
      for (const [change, reason] of wrong) {
        // Whoever holds the key of a token that is only over, or too early, is known.
        const by = known.has(reason) ? { user: 'alice', agents: ['procurement-agent'] } : undefined;
        await stage.refused(
          { headers: stage.credentials(minted(change)) },
          { status: 401, reason, ...(by ? { by } : {}) },
        );
      }
    });

    test('row 66: members that reach a prototype make a token malformed', async () => {
      for (const name of ['__proto__', 'constructor', 'prototype']) {
        const text = JSON.stringify(claims);
        await refuse(
          issuer.sign({ typ: 'at+jwt' }, text.replace('{', `{"${name}":{"sub":"dora"},`)),
          'token_malformed',
        );
        await refuse(
          issuer.sign({ typ: 'at+jwt' }, text.replace('"task":{', `"task":{"${name}":{},`)),
          'token_malformed',
        );
      }
      expect(({} as Record<string, unknown>)['sub']).toBeUndefined();
    });

    test('row 67: a token that is deep, long or wide is refused at once', async () => {
      let act: unknown = { sub: 'procurement-agent' };
      for (let i = 0; i < 60; i++) act = { sub: `a${i}`, act };
      const audiences = Array.from({ length: 400 }, (_, i) => `a${i}`);
      for (const [change, reason] of [
        [{ act }, 'token_malformed'],
        [{ lineage: Array.from({ length: 9 }, (_, i) => `a${i}`) }, 'token_malformed'],
        [{ aud: audiences }, 'token_malformed'],
        [{ aud: 'x'.repeat(2_500) }, 'token_malformed'],
        [{ extra: 'x'.repeat(6_000) }, 'token_too_large'],
      ] as const) {
        const startedAt = performance.now();
        await refuse(minted(change), reason);
        expect(performance.now() - startedAt).toBeLessThan(1_000);
      }
    });
  });
}
