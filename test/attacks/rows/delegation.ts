import { randomUUID } from 'node:crypto';
import type { Agent, Capability } from '@remit/agent';
import { importSigner, type Signer } from '@remit/capability/token';
import { agentOf } from '@remit/cli';
import { beforeAll, describe, expect, test } from 'vitest';
import { claimsOf, freshJwk, type Stage } from '../stage.ts';
import { ACCESS_TOKEN, type Asked, type TokenClient, tokenClient } from '../token-client.ts';

const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const RISK = { actions: ['suppliers.risk.read'], resources: ['erp/suppliers/S-100'], args: [] };
const INVALID = 'invalid_authorization_details';

/** Handing on more than one has, or what is not one’s own, at a running deployment. */
export function delegations(at: () => Stage): void {
  let stage: Stage;
  let client: TokenClient;
  let parent: Capability;
  let analyst: Agent;
  let analystKey: Signer;
  beforeAll(async () => {
    stage = at();
    client = await tokenClient(stage);
    const jwk = freshJwk();
    analystKey = importSigner(jwk);
    analyst = agentOf(stage.demo.dev, 'risk-analyst', jwk);
    parent = await stage.agent.startTask({
      idToken: await stage.world.signIn('bob'),
      taskType: 'raise-purchase-order',
      slots: { supplier: 'S-100', ceiling: 100 },
      resource: stage.world.erp.url,
    });
  });

  const permissions = (list: object[]) =>
    JSON.stringify(list.map((each) => ({ type: 'urn:remit:capability:1', ...each })));
  /** The proof of a holder: with the hash of the token that it hands on. */
  const holderProof = (token: string, signer = stage.proofKey) =>
    client.proof({ signer, accessToken: token });
  const handOn = async (change: Record<string, string | undefined> = {}, asked: Asked = {}) => {
    const token = change['subject_token'] ?? parent.token;
    return client.post(
      {
        subject_token: token,
        subject_token_type: ACCESS_TOKEN,
        actor_token: await analyst.actorToken(),
        actor_token_type: JWT,
        authorization_details: permissions([RISK]),
        ...change,
      },
      { proof: holderProof(token), ...asked },
    );
  };
  const actorToken = (agent: string, change: Record<string, unknown> = {}, key?: Signer) => {
    const now = Math.floor(Date.now() / 1_000);
    return (key ?? client.key(agent)).sign(
      { typ: 'remit-actor+jwt' },
      {
        iss: agent,
        sub: agent,
        aud: stage.demo.dev.issuer,
        jti: randomUUID(),
        iat: now,
        exp: now + 60,
        cnf: { jkt: analystKey.kid },
        ...change,
      },
    );
  };
  const child = async () => (await handOn()).body['access_token'] as string;

  test('the delegation that the rows below change is good', async () => {
    const answer = await handOn();
    expect([answer.status, answer.body['error_description']]).toEqual([200, undefined]);
    const token = String(answer.body['access_token']);
    const claims = claimsOf(token);
    expect(claims).toMatchObject({
      sub: 'bob',
      act: { sub: 'risk-analyst', act: { sub: 'procurement-agent' } },
      cnf: { jkt: analystKey.kid },
      lineage: [claimsOf(parent.token)['jti']],
    });
    expect(claims['exp'] as number).toBeLessThan(claimsOf(parent.token)['exp'] as number);
  });

  describe('widening at exchange', () => {
    const wider = (list: object[], reason = 'task_scope') =>
      client.refused(() => handOn({ authorization_details: permissions(list) }), {
        error: INVALID,
        reason,
      });

    test('row 31: a child has no action and no resource that its parent has not', async () => {
      await wider([{ ...RISK, actions: ['suppliers.export'] }]);
      await wider([{ ...RISK, actions: ['suppliers.*'] }]);
      await wider([{ ...RISK, actions: ['**'] }]);
      await wider([RISK, { ...RISK, resources: ['erp/suppliers/S-200'] }]);
      for (const details of ['[]', '{}', 'null', undefined]) {
        const answer = await handOn({ authorization_details: details });
        expect(answer.status).toBe(400);
        expect(answer.body['access_token']).toBeUndefined();
      }
    });

    test('row 34: a pattern over what the parent names is wider', async () => {
      await wider([{ ...RISK, resources: ['erp/suppliers/*'] }]);
      await wider([{ ...RISK, resources: ['erp/**'] }]);
      await wider([{ ...RISK, resources: ['erp/suppliers/S-100/**'] }]);
    });

    test('row 37: a child drops no constraint and no list of arguments', async () => {
      await wider([{ ...RISK, args: 'any' }]);
      await wider([{ ...RISK, args: ['note'] }]);
    });

    test('row 38: a parent that is over, or about to be, has no child', async () => {
      const now = Math.floor(Date.now() / 1_000);
      const claims = claimsOf(parent.token);
      const sign = (change: object) =>
        stage.tokenKey('acme').sign({ typ: 'at+jwt' }, { ...claims, ...change });
      for (const [change, reason] of [
        [{ iat: now - 300, nbf: now - 300, exp: now - 1 }, 'token_expired'],
        [{ iat: now + 60, nbf: now + 60, exp: now + 120 }, 'token_not_yet_valid'],
        [{ exp: (claims['iat'] as number) + 901 }, 'token_lifetime'],
      ] as const) {
        await client.refused(() => handOn({ subject_token: sign(change) }), {
          error: 'invalid_request',
          reason,
        });
      }
    });

    test('row 39: a child is for the audience of its parent', async () => {
      for (const resource of [`${stage.world.erp.url}/`, 'https://other.example']) {
        await client.refused(() => handOn({ resource }), {
          error: 'invalid_target',
          reason: 'target_unknown',
        });
      }
    });

    test('row 40: a changed user, tenant, actor or task breaks the parent’s signature', async () => {
      const [head, , signature] = parent.token.split('.');
      const claims = claimsOf(parent.token);
      for (const change of [
        { sub: 'dora' },
        { tenant: 'globex' },
        { act: { sub: 'procurement-agent', act: { sub: 'risk-analyst' } } },
        { task: { id: 'task_other', type: 'raise-purchase-order' } },
        { lineage: ['x'], depth: { used: 1, max: 8 } },
      ]) {
        const text = JSON.stringify({ ...claims, ...change });
        const subject = `${head}.${Buffer.from(text).toString('base64url')}.${signature}`;
        await client.refused(() => handOn({ subject_token: subject }), {
          error: 'invalid_request',
          reason: 'token_signature',
        });
      }
      const foreign = stage.tokenKey('globex').sign({ typ: 'at+jwt' }, claims);
      await client.refused(() => handOn({ subject_token: foreign }), {
        error: 'invalid_request',
        reason: 'token_key_unknown',
      });
    });

    test('row 41: no agent acts twice, not itself neither, and the depth ends', async () => {
      const own = actorToken('procurement-agent');
      await client.refused(() => handOn({ actor_token: own }), {
        error: 'invalid_request',
        reason: 'actor_repeated',
      });
      const held = await child();
      await client.refused(
        async () =>
          handOn(
            {
              subject_token: held,
              actor_token: actorToken('procurement-agent', { cnf: { jkt: stage.proofKey.kid } }),
            },
            { agent: 'risk-analyst', proof: holderProof(held, analystKey) },
          ),
        { error: 'invalid_request', reason: 'actor_repeated', client: 'risk-analyst' },
      );
      const spent = stage
        .tokenKey('acme')
        .sign({ typ: 'at+jwt' }, { ...claimsOf(parent.token), depth: { used: 0, max: 0 } });
      await client.refused(() => handOn({ subject_token: spent }), {
        error: 'invalid_request',
        reason: 'depth_exceeded',
      });
    });

    test('row 42: no actor token of another task, agent, key, type or time, and none twice', async () => {
      const word = await analyst.actorToken();
      expect((await handOn({ actor_token: word })).status).toBe(200);
      await client.refused(() => handOn({ actor_token: word }), {
        error: 'invalid_request',
        reason: 'actor_token_replayed',
      });
      const now = Math.floor(Date.now() / 1_000);
      const thief = importSigner(freshJwk());
      for (const [forged] of [
        [actorToken('risk-analyst', {}, thief)],
        [actorToken('risk-analyst', {}, client.key('report-writer'))],
        [actorToken('risk-analyst', { sub: 'report-writer' })],
        [actorToken('risk-analyst', { aud: 'https://other.example' })],
        [actorToken('risk-analyst', { aud: [stage.demo.dev.issuer] })],
        [actorToken('risk-analyst', { cnf: undefined })],
        [actorToken('risk-analyst', { cnf: { jkt: analystKey.kid, kid: 'x' } })],
        [actorToken('risk-analyst', { cnf: { jwk: analystKey.publicJwk } })],
        [actorToken('risk-analyst', { iat: now - 400, exp: now + 60 })],
        [actorToken('risk-analyst', { exp: now - 1 })],
        [actorToken('risk-analyst', { scope: 'less' })],
        [client.assertion('risk-analyst', { cnf: { jkt: analystKey.kid } })],
        [parent.token],
        ['x'],
      ] as const) {
        await client.refused(() => handOn({ actor_token: forged }), {
          error: 'invalid_request',
          reason: 'actor_token_invalid',
        });
      }
    });

    test('row 43: two subjects or two actors in one request are refused', async () => {
      const form = new URLSearchParams({ subject_token: parent.token });
      const answer = await handOn({ [`subject_token`]: parent.token }, {});
      expect(answer.status).toBe(200);
      form.append('subject_token', await child());
      const response = await fetch(`${stage.demo.dev.issuer}/token`, {
        method: 'POST',
        body: form,
      });
      expect([response.status, ((await response.json()) as { error: string }).error]).toEqual([
        400,
        'invalid_request',
      ]);
    });

    test('row 44: only the holder hands on: not another agent, not without the key, not an earlier actor', async () => {
      await client.refused(() => handOn({}, { agent: 'report-writer' }), {
        error: 'invalid_request',
        reason: 'holder_mismatch',
        client: 'report-writer',
      });
      const held = await child();
      await client.refused(() => handOn({ subject_token: held }), {
        error: 'invalid_request',
        reason: 'holder_mismatch',
      });
      await client.refused(() => handOn({}, { proof: null }), {
        error: 'invalid_request',
        reason: 'proof_required',
      });
      for (const [proof, reason] of [
        [holderProof(parent.token, importSigner(freshJwk())), 'proof_key'],
        [holderProof(held), 'proof_binding'],
        [client.proof(), 'proof_binding'],
      ] as const) {
        await client.refused(() => handOn({}, { proof }), { error: 'invalid_dpop_proof', reason });
      }
    });

    test('row 45: the child is bound to the next actor’s key, never to the caller’s, never to none', async () => {
      for (const jkt of [stage.proofKey.kid, '', 'x', null]) {
        await client.refused(
          () => handOn({ actor_token: actorToken('risk-analyst', { cnf: { jkt } }) }),
          { error: 'invalid_request', reason: 'actor_token_invalid' },
        );
      }
      const held = await child();
      await stage.refused(
        { path: '/suppliers/S-100/risk', headers: { authorization: `Bearer ${held}` } },
        { status: 401, reason: 'proof_scheme' },
      );
      const url = `${stage.world.erp.url}/suppliers/S-100/risk`;
      await stage.refused(
        { path: '/suppliers/S-100/risk', headers: stage.credentials(held, { url }) },
        { status: 401, reason: 'proof_key' },
      );
    });

    test('row 31: a child handed to an agent holds nothing outside that agent’s envelope', async () => {
      const order = {
        actions: ['orders.create'],
        resources: ['erp/orders'],
        args: ['supplier', 'item', 'amount', 'currency'],
        constraints: {
          supplier: { in: ['S-100'] },
          amount: { min: 0, max: 100 },
          currency: { in: ['EUR'] },
        },
      };
      const id = await client.refused(
        () => handOn({ authorization_details: permissions([order]) }),
        { error: INVALID, reason: 'agent_envelope' },
      );
      const line = await stage.world.ledger.line(id);
      expect(line.record.dimensions?.agent).toBe('deny');
      const held = await child();
      const url = `${stage.world.erp.url}/suppliers/S-100`;
      await stage.refused(
        { headers: stage.credentials(held, { signer: analystKey, url }) },
        {
          status: 403,
          reason: 'scope_action',
          by: { user: 'bob', agents: ['procurement-agent', 'risk-analyst'] },
        },
      );
    });
  });
}
