import { createHash, randomBytes } from 'node:crypto';
import { importSigner } from '@remit/capability/token';
import { agentOf } from '@remit/cli';
import { beforeAll, describe, expect, test } from 'vitest';
import { BOTH, type ChainClient, chainClient, READ, RISK } from '../chain-client.ts';
import { b64, claimsOf, freshJwk, type Stage } from '../stage.ts';
import { ACCESS_TOKEN, type TokenClient, tokenClient } from '../token-client.ts';
import { linkRules } from './link-rules.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest();
/** The id by which a link goes that is signed with this `jti` behind a text. */
const idOf = (text: string, jti: string) =>
  sha256(`${sha256(`${text}~`).toString('base64url')}.${jti}`)
    .subarray(0, 16)
    .toString('base64url');

const BOB = { user: 'bob', agents: ['procurement-agent'] };
const BOB_TO_ANALYST = { user: 'bob', agents: ['procurement-agent', 'risk-analyst'] };

/** Parts of tokens that agents hand on without the issuer, at a running deployment. */
export function chains(at: () => Stage): void {
  let stage: Stage;
  let client: TokenClient;
  let hand: ChainClient;
  beforeAll(async () => {
    stage = at();
    [client, hand] = await Promise.all([tokenClient(stage), chainClient(stage)]);
  });

  test('a chain is taken without the issuer, and the ledger has every hop of it', async () => {
    const first = hand.toWorker();
    const second = hand.worker.handOn(hand.worker.receive(first), {
      to: hand.analystKey.kid,
      permissions: [RISK],
    });
    const registered = await stage.rows(['revocation.registration']);
    const answers = [await hand.risk(first, hand.worker), await hand.risk(second, hand.analyst)];
    expect(answers.map((answer) => answer.status)).toEqual([200, 200]);
    expect(await stage.rows(['revocation.registration'])).toEqual(registered);

    const decision = await stage.world.ledger.line(
      answers[1]?.headers.get('remit-decision') ?? 'none',
    );
    const { links = [], token } = decision.record;
    expect(decision).toMatchObject({
      user: 'bob',
      record: {
        decision: 'allow',
        act_chain: BOB_TO_ANALYST.agents,
        links: [
          { actor: 'procurement-agent', jkt: hand.worker.jkt },
          { actor: 'risk-analyst', jkt: hand.analystKey.kid },
        ],
        token: {
          jti: links[1]?.id,
          lineage: [claimsOf(hand.held.token)['jti'], links[0]?.id],
          jkt: hand.analystKey.kid,
        },
      },
    });
    await stage.world.until(async () => {
      const lines = await stage.world.ledger.lines({ event: 'token.delegated' });
      const hops = lines.filter(({ record }) => record.detail?.['offline'] === true);
      return links.every(({ id }) => hops.some(({ record }) => record.token?.jti === id));
    });
    expect(token?.alg).toBe('ML-DSA-65');
  });

  linkRules(() => ({ stage, hand }));

  describe('whoever signs or holds', () => {
    test('row 28: is the holder of the last key: not its giver, not a thief, not with half of the text', async () => {
      const { token: chain } = hand.toWorker();
      const thief = importSigner(freshJwk());
      for (const signer of [stage.proofKey, hand.analystKey, thief]) {
        await hand.refused(chain, 'proof_key', signer);
      }
      await stage.refused(
        {
          headers: {
            ...stage.credentials(hand.held.token, { signer: hand.workerKey }),
            authorization: `DPoP ${chain}`,
          },
        },
        { status: 401, reason: 'proof_binding' },
      );
    });

    test('row 28: a link is signed by the key before it: no other, none that it brings along', async () => {
      const thief = importSigner(freshJwk());
      await hand.refused(hand.link(hand.held.token, { signer: thief }), 'link_key');
      const chain = hand.link(hand.held.token);
      for (const signer of [stage.proofKey, thief, hand.analystKey]) {
        await hand.refused(hand.link(chain, { signer }), 'link_key');
      }
      const header = { jwk: stage.proofKey.publicJwk };
      await hand.refused(hand.link(hand.held.token, { signer: thief, header }), 'link_signature');
      const [head, , signature] = (chain.split('~')[1] as string).split('.');
      const claims = { ...claimsOf(chain.split('~')[1] as string), permissions: [BOTH] };
      await hand.refused(
        `${hand.held.token}~${head}.${b64(claims)}.${signature}`,
        'link_signature',
      );
    });

    test('row 5: brings no address, no other header and no other algorithm', async () => {
      for (const header of [
        { jku: 'https://evil.example/keys' },
        { x5u: 'https://evil.example/chain' },
        { kid: stage.proofKey.kid },
        { crit: ['exp'] },
        { b64: false },
        { typ: 'at+jwt' },
        { typ: 'dpop+jwt' },
        { jwk: { ...stage.proofKey.publicJwk, d: 'AAAA' } },
        { jwk: undefined },
      ]) {
        await hand.refused(hand.link(hand.held.token, { header }), 'link_malformed');
      }
      const body = hand.link(hand.held.token).split('~')[1]?.split('.')[1];
      for (const alg of ['none', 'HS256', 'ML-DSA-65', 'ES384']) {
        const head = b64({ typ: 'remit-link+jwt', alg, jwk: stage.proofKey.publicJwk });
        await hand.refused(`${hand.held.token}~${head}.${body}.AAAA`, 'link_malformed');
      }
    });

    test('row 8: no token, proof or link stands in the place of another', async () => {
      const chain = hand.link(hand.held.token);
      const alone = chain.split('~')[1] as string;
      await hand.refused(alone, 'token_algorithm');
      await hand.refused(`${alone}~${alone}`, 'token_algorithm');
      const other = await hand.analyst.actorToken();
      await hand.refused(`${hand.held.token}~${other}`, 'link_malformed');
      const proof = stage.credentials(hand.held.token)['dpop'];
      await hand.refused(`${hand.held.token}~${proof}`, 'link_malformed');
    });
  });

  describe('a chain that is cut up', () => {
    test('row 42: a link of another chain, or behind another text, is spliced in', async () => {
      const other = await hand.start();
      const own = hand.link(hand.held.token);
      const [, foreign] = hand.link(other.token).split('~');
      await hand.refused(`${hand.held.token}~${foreign}`, 'link_spliced');
      const again = own.split('~')[1] ?? '';
      await hand.refused(`${other.token}~${again}`, 'link_spliced');
      const claims = { prev: sha256(hand.held.token).toString('base64url') };
      await hand.refused(hand.link(hand.held.token, { claims }), 'link_spliced');
    });

    test('row 42: no link is dropped, doubled, or put in another order', async () => {
      const key = importSigner(freshJwk());
      const one = hand.link(hand.held.token);
      const two = hand.link(one, { signer: hand.workerKey, claims: { cnf: { jkt: key.kid } } });
      const [token, first, second] = two.split('~') as [string, string, string];
      await hand.refused(`${token}~${second}`, 'link_key', key);
      await hand.refused(`${token}~${second}~${first}`, 'link_key', key);
      await hand.refused(`${token}~${first}~${first}`, 'link_key');
      await hand.refused(`${one}~${second}~${second}`, 'link_key', key);
    });

    test('row 9: empty elements, blanks and ends are no chain', async () => {
      const chain = hand.link(hand.held.token);
      const [token, first] = chain.split('~');
      for (const text of [
        `${chain}~`,
        `${token}~`,
        `~${chain}`,
        `${token}~~${first}`,
        `${chain}~x`,
      ]) {
        await hand.refused(text, 'link_malformed');
      }
      for (const text of [`${token} ~${first}`, `${token}~ ${first}`, `${token}~${first},x`]) {
        await hand.refused(text, 'token_malformed');
      }
    });

    test('row 67: a chain and its proof are 12 KB at most', async () => {
      const long = `${hand.held.token}${'~A'.repeat(2)}~${'A'.repeat(12_288 - hand.held.token.length - 5)}`;
      await hand.refused(long, 'token_too_large');
    });
  });

  describe('revoking', () => {
    test('row 22: a link ends it and what hangs on it, by its giver and by nobody’s leave but the chain’s', async () => {
      const given = hand.toWorker();
      const further = hand.worker.handOn(hand.worker.receive(given), {
        to: hand.analystKey.kid,
        permissions: [RISK],
      });
      const sibling = hand.toWorker();
      expect((await hand.risk(given, hand.worker)).status).toBe(200);
      await expect(agentOf(stage.demo.dev, 'translator').revoke(given)).rejects.toMatchObject({
        code: 'REFUSED',
        refusal: { reason: 'holder_mismatch' },
      });
      await stage.agent.revoke(given);
      await stage.world.until(async () => (await hand.risk(given, hand.worker)).status === 401);
      await hand.refused(given.token, 'token_revoked', hand.workerKey, BOB);
      await hand.refused(further.token, 'ancestor_revoked', hand.analystKey, BOB_TO_ANALYST);
      expect((await hand.risk(sibling, hand.worker)).status).toBe(200);
    });

    test('row 22: a link with the id of a token that is somebody else’s is revoked, and that token lives', async () => {
      const other = await hand.start();
      const { jti } = claimsOf(other.token);
      const chain = hand.link(hand.held.token, { claims: { jti } });
      await stage.agent.revoke({ ...hand.toWorker(), token: chain });
      const call = (headers: Record<string, string>) =>
        fetch(`${stage.world.erp.url}/suppliers/S-100`, { headers });
      const gone = () => call(stage.credentials(chain, { signer: hand.workerKey }));
      await stage.world.until(async () => (await gone()).status === 401);
      expect((await call(stage.credentials(other.token))).status).toBe(200);
    });

    test('row 22: an administrator revokes a link that no service has seen', async () => {
      const jti = randomBytes(16).toString('base64url');
      const chain = hand.link(hand.held.token, { claims: { jti } });
      await stage.world.revoke('dora', { kind: 'link', id: idOf(hand.held.token, jti) });
      const call = () =>
        fetch(`${stage.world.erp.url}/suppliers/S-100`, {
          headers: stage.credentials(chain, { signer: hand.workerKey }),
        });
      await stage.world.until(async () => (await call()).status === 401);
      await hand.refused(chain, 'token_revoked', hand.workerKey, BOB);
    });

    test('row 22: a key between, and the token before all, end every chain', async () => {
      const other = await hand.start();
      const middle = importSigner(freshJwk());
      const one = hand.link(other.token, { claims: { cnf: { jkt: middle.kid } } });
      const two = hand.link(one, { signer: middle });
      const call = (text: string) =>
        fetch(`${stage.world.erp.url}/suppliers/S-100`, {
          headers: stage.credentials(text, { signer: hand.workerKey }),
        });
      expect((await call(two)).status).toBe(200);
      await stage.world.revoke('dora', { kind: 'key', id: middle.kid });
      await stage.world.until(async () => (await call(two)).status === 401);
      await hand.refused(two, 'key_revoked', hand.workerKey, BOB);
      const good = hand.link(other.token);
      expect((await call(good)).status).toBe(200);
      await stage.agent.revoke(other);
      await stage.world.until(async () => (await call(good)).status === 401);
      await hand.refused(good, 'ancestor_revoked', hand.workerKey, BOB);
    });

    test('row 23: a chain whose token is revoked, or that is no chain, is not exchanged', async () => {
      const other = await hand.start();
      const chain = hand.link(other.token);
      const exchange = async (text: string) =>
        client.post(
          {
            subject_token: text,
            subject_token_type: ACCESS_TOKEN,
            actor_token: await hand.analyst.actorToken(),
            actor_token_type: 'urn:ietf:params:oauth:token-type:jwt',
            authorization_details: JSON.stringify([{ type: 'urn:remit:capability:1', ...READ }]),
          },
          {
            proof: client.proof({ signer: hand.workerKey, accessToken: text }),
          },
        );
      for (const [text, reason] of [
        [`${hand.held.token}~${chain.split('~')[1]}`, 'link_spliced'],
        [hand.link(other.token, { signer: hand.workerKey }), 'link_key'],
        [
          hand.link(other.token, { claims: { permissions: [{ ...READ, actions: ['**'] }] } }),
          'link_widening',
        ],
        [`${chain}~`, 'link_malformed'],
      ] as const) {
        await client.refused(() => exchange(text), { error: 'invalid_request', reason });
      }
      await stage.agent.revoke(other);
      await client.refused(() => exchange(chain), {
        error: 'invalid_request',
        reason: 'ancestor_revoked',
      });
    });
  });
}
