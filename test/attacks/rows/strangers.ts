import { readFileSync } from 'node:fs';
import { importSigner } from '@remit/capability/token';
import { signIn } from '@remit/cli';
import { beforeAll, describe, expect, test } from 'vitest';
import { b64, freshJwk, type Stage } from '../stage.ts';
import { details, JWT_BEARER, type TokenClient, tokenClient } from '../token-client.ts';

/** What somebody without a key can do and learn at the token endpoint of a running deployment. */
export function strangers(at: () => Stage): void {
  let stage: Stage;
  let client: TokenClient;
  beforeAll(async () => {
    stage = at();
    client = await tokenClient(stage);
  });

  const refuse = (request: Parameters<TokenClient['refused']>[0], error = 'invalid_client') =>
    client.refused(request, { status: error === 'invalid_client' ? 401 : 400, error });

  test('row 1: an unsigned or otherwise signed assertion authenticates nobody', async () => {
    const [, payload, signature] = client.assertion('procurement-agent').split('.');
    for (const alg of ['none', 'HS256', 'EdDSA', 'ML-DSA-65', 'constructor', null]) {
      const head = b64({ alg, typ: 'client-authentication+jwt' });
      for (const sig of ['', signature]) {
        const assertion = `${head}.${payload}.${sig}`;
        await refuse(() => client.launch({ client_assertion: assertion }));
      }
    }
  });

  test('row 5: an assertion brings no key of its own', async () => {
    const own = importSigner(freshJwk());
    const claims = JSON.parse(
      Buffer.from(
        client.assertion('procurement-agent').split('.')[1] ?? '',
        'base64url',
      ).toString(),
    ) as object;
    for (const header of [
      { jwk: own.publicJwk },
      { jku: 'http://127.0.0.1:1/' },
      { x5c: ['x'] },
      {},
    ]) {
      const assertion = own.sign({ typ: 'client-authentication+jwt', ...header }, claims);
      await refuse(() => client.launch({ client_assertion: assertion }));
    }
  });

  test('row 12: an assertion for another audience, or for several, is refused', async () => {
    const { issuer } = stage.demo.dev;
    for (const aud of [
      `${issuer}/token`,
      `${issuer}/`,
      issuer.replace('acme', 'globex'),
      issuer.replace('acme', 'ACME'),
      [issuer],
      [issuer, 'https://other.example'],
      undefined,
    ]) {
      const assertion = client.assertion('procurement-agent', { aud });
      await refuse(() => client.launch({ client_assertion: assertion }));
    }
  });

  test('row 15: an assertion without end, of the past or of the future is refused', async () => {
    const now = Math.floor(Date.now() / 1_000);
    for (const change of [
      { exp: undefined },
      { exp: String(now + 60) },
      { exp: now - 1 },
      { exp: now + 3_600 },
      { exp: (now + 60) * 1_000 },
      { exp: 1e308 },
      { iat: now + 3_600 },
      { iat: undefined },
      { nbf: now + 3_600 },
      { nbf: null },
      { jti: undefined },
      { jti: '' },
      { jti: 7 },
    ]) {
      const assertion = client.assertion('procurement-agent', change);
      await refuse(() => client.launch({ client_assertion: assertion }));
    }
  });

  test('row 29: an assertion and a proof are taken once, and the second use is recorded', async () => {
    const assertion = client.assertion('procurement-agent');
    expect((await client.launch({ client_assertion: assertion })).status).toBe(200);
    await refuse(() => client.launch({ client_assertion: assertion }));
    await stage.world.until(async () => {
      const [line] = await stage.world.ledger.lines({ reason: 'assertion_replayed' });
      return line?.event === 'token.refused' && line.agents[0] === 'procurement-agent';
    });
    const proof = client.proof();
    expect((await client.launch({}, { proof })).status).toBe(200);
    await client.refused(() => client.launch({}, { proof }), {
      error: 'invalid_dpop_proof',
      reason: 'proof_replayed',
    });
  });

  test('row 30: a proof for another address, method or time is refused', async () => {
    const now = Date.now() / 1_000;
    const url = `${stage.demo.dev.issuer}/token`;
    for (const [change, reason] of [
      [{ method: 'GET' }, 'proof_binding'],
      [{ url: url.replace('acme', 'globex') }, 'proof_binding'],
      [{ url: `${url}/` }, 'proof_binding'],
      [{ nowSeconds: now - 120 }, 'proof_expired'],
      [{ nowSeconds: now + 120 }, 'proof_expired'],
    ] as const) {
      await client.refused(() => client.launch({}, { proof: client.proof(change) }), {
        error: 'invalid_dpop_proof',
        reason,
      });
    }
  });

  describe('learns nothing about who is registered', () => {
    const forged = (agent: string, header: object) =>
      `${b64(header)}.${b64({
        iss: agent,
        sub: agent,
        aud: stage.demo.dev.issuer,
        jti: 'guess',
        iat: Math.floor(Date.now() / 1_000),
        exp: Math.floor(Date.now() / 1_000) + 60,
      })}.${Buffer.alloc(64, 1).toString('base64url')}`;

    test('row 71: a known and an unknown client are answered alike, whatever is wrong', async () => {
      const typ = 'client-authentication+jwt';
      const known = client.key('procurement-agent').kid;
      for (const header of [
        { alg: 'Ed25519', typ },
        { alg: 'ES256', typ },
        { alg: 'Ed25519', typ, kid: known },
        { alg: 'Ed25519', typ, kid: '' },
        { alg: 'none', typ },
        { alg: 'RS256', typ },
        { alg: 'Ed25519', typ: 'at+jwt' },
        { alg: 'Ed25519', typ, crit: ['x'] },
      ]) {
        const answers = await Promise.all(
          ['procurement-agent', 'nobody-at-all', 'a\u0000b', "' or 1=1--", '*'].map(
            async (agent) =>
              (
                await client.post({
                  client_assertion: forged(agent, header),
                  client_assertion_type: JWT_BEARER,
                })
              ).text,
          ),
        );
        expect(new Set(answers).size, JSON.stringify(header)).toBe(1);
      }
    });

    test('row 71: a user who is unknown and one who is disabled are answered alike', async () => {
      const { app } = stage.demo.dev;
      const people = JSON.parse(
        readFileSync(stage.demo.stack.plan.path('people.json'), 'utf8'),
      ) as Record<string, string>;
      // The identity provider knows Gina, and so does the other tenant.
      const unknown = await signIn({
        issuer: app.issuer,
        clientId: app.client_id,
        redirectUri: app.redirect_uri,
        user: 'gina',
        password: people['gina'] as string,
      });
      const disabled = await stage.world.signIn('carol');
      await stage.world.admin('dora', 'registry', '/users/carol/disable');
      const answers = await Promise.all(
        [unknown.idToken, disabled].map(async (token) => {
          const { status, body } = await client.launch({ subject_token: token });
          const { record_id: id, ...said } = body;
          return { said: { status, ...said }, id: String(id) };
        }),
      );
      await stage.world.admin('dora', 'registry', '/users/carol/enable');
      expect(answers[0]?.said).toEqual(answers[1]?.said);
      expect(answers[0]?.said).toMatchObject({ status: 400, error: 'invalid_request' });
      for (const [i, reason] of ['user_unknown', 'user_inactive'].entries()) {
        stage.expectRecord(answers[i]?.id ?? 'none', { event: 'token.refused', reason });
      }
    });
  });

  test('row 66: names that reach a prototype are refused in a form and in details', async () => {
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
      await refuse(() => client.launch({ [name]: '1' }), 'invalid_request');
      const good = details('supplier-risk-summary', { supplier: 'S-100' });
      for (const text of [
        good.replace('"slots":{', `"slots":{"${name}":"x",`),
        good.replace('"type"', `"${name}":{},"type"`),
      ]) {
        await client.refused(() => client.launch({ authorization_details: text }), {
          error: 'invalid_authorization_details',
          reason: 'request_malformed',
        });
      }
    }
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  test('row 67: bodies that are large, deep or full of names are refused at once', async () => {
    const deep = '['.repeat(9_000) + ']'.repeat(9_000);
    const wide = `[${'{},'.repeat(6_000)}{}]`;
    for (const [form, status, error] of [
      [{ authorization_details: 'x'.repeat(1_000_000) }, 413, 'invalid_request'],
      [{ authorization_details: deep }, 400, undefined],
      [{ authorization_details: wide }, 400, undefined],
      [{ resource: Array.from({ length: 60 }, () => 'x') }, 400, 'invalid_request'],
      [{ subject_token: `${'a.'.repeat(15_000)}a` }, 400, 'invalid_request'],
    ] as const) {
      const startedAt = performance.now();
      const answer = await client.launch(form);
      expect(performance.now() - startedAt).toBeLessThan(1_000);
      expect(answer.status).toBe(status);
      if (error !== undefined) expect(answer.body['error']).toBe(error);
    }
  });

  test('row 64: no refusal of a known client escapes the record, whatever it asks with', async () => {
    const lone = details('supplier-risk-summary', { supplier: 'S-100' }, [
      {
        actions: ['suppliers.read'],
        resources: ['erp/suppliers/S-100'],
        args: ['note'],
        constraints: { note: { in: ['LONE'] } },
      },
    ]).replace('LONE', String.raw`\ud800`);
    await client.refused(() => client.launch({ authorization_details: lone }), {
      error: 'invalid_authorization_details',
      reason: 'request_malformed',
    });
    for (const text of [
      '\r\n',
      '\u0000',
      '\u001b[2J',
      '\u2028',
      '\u202e',
      '=cmd|x',
      'eyJhbGciOiJIUzI1NiJ9.e30.x',
    ]) {
      await client.refused(
        () => client.launch({ authorization_details: details(`x${text}`, { supplier: 'S-100' }) }),
        { error: 'invalid_authorization_details', reason: 'task_type_not_allowed' },
      );
      await client.refused(() => client.launch({ resource: `http://x/${text}` }), {
        error: 'invalid_target',
        reason: 'target_unknown',
      });
    }
  });
}
