import { beforeAll, describe, test } from 'vitest';
import { BOTH, type ChainClient, READ, RISK } from '../chain-client.ts';
import { claimsOf, type Stage } from '../stage.ts';

/** Links that give more than their giver has, last longer, name others or bind nobody. */
export function linkRules(at: () => { stage: Stage; hand: ChainClient }): void {
  describe('a link', () => {
    let stage: Stage;
    let hand: ChainClient;
    beforeAll(() => {
      ({ stage, hand } = at());
    });

    test('row 31: gives no action and no resource that its giver has not', async () => {
      for (const wider of [
        { ...READ, actions: ['suppliers.export'] },
        { ...READ, actions: ['**'] },
        { ...READ, resources: ['erp/suppliers/*'] },
        { ...READ, resources: ['erp/suppliers/S-200'] },
        { ...READ, args: 'any' },
      ]) {
        const chain = hand.link(hand.held.token, { claims: { permissions: [wider] } });
        await hand.refused(chain, 'link_widening');
      }
      const narrow = hand.link(hand.held.token);
      const back = hand.link(narrow, { signer: hand.workerKey, claims: { permissions: [BOTH] } });
      await hand.refused(back, 'link_widening');
    });

    test('row 31: to another agent gives something up, and stays within that agent’s entry', async () => {
      const cnf = { jkt: hand.analystKey.kid };
      const whole = hand.link(hand.held.token, { claims: { cnf, permissions: [BOTH] } });
      await hand.refused(whole, 'not_narrower', hand.analystKey);
    });

    test('row 37: has a list of permissions, each with all its sides', async () => {
      for (const permissions of [
        undefined,
        null,
        {},
        'any',
        [{}],
        [{ ...READ, args: undefined }],
      ]) {
        await hand.refused(
          hand.link(hand.held.token, { claims: { permissions } }),
          'link_malformed',
        );
      }
    });

    test('row 38: begins no earlier and ends no later than what it hands on', async () => {
      const { iat, exp } = claimsOf(hand.held.token) as { iat: number; exp: number };
      for (const claims of [{ exp: exp + 1 }, { iat: iat - 1 }]) {
        await hand.refused(hand.link(hand.held.token, { claims }), 'link_lifetime');
      }
      for (const claims of [{ exp: iat }, { exp: '9999999999' }, { iat: -1 }, { exp: undefined }]) {
        await hand.refused(hand.link(hand.held.token, { claims }), 'link_malformed');
      }
    });

    test('row 40: names no actor, user, audience, tenant or task', async () => {
      for (const claims of [
        { act: { sub: 'translator' } },
        { sub: 'dora' },
        { aud: stage.world.erp.url },
        { tenant: 'globex' },
        { task: { id: 'task_x', type: 'release-payment' } },
        { links: true },
        { may_act: { actors: [] } },
      ]) {
        await hand.refused(hand.link(hand.held.token, { claims }), 'link_malformed');
      }
    });

    test('row 41: names no agent a second time, and none goes deeper than the task allows', async () => {
      const first = hand.toAnalyst();
      const back = hand.link(first.token, {
        signer: hand.analystKey,
        claims: { ...earlier(first.token), cnf: { jkt: hand.analystKey.kid }, permissions: [RISK] },
      });
      await hand.refused(back, 'actor_repeated', hand.analystKey);
      let chain = hand.held.token;
      let signer = stage.proofKey;
      for (let hop = 0; hop < 4; hop++) {
        chain = hand.link(chain, { signer });
        signer = hand.workerKey;
      }
      await hand.refused(chain, 'depth_exceeded');
    });

    test('row 45: always binds, and only where the token does', async () => {
      for (const cnf of [
        undefined,
        {},
        { kid: 'x' },
        { jkt: hand.worker.jkt, kid: 'x' },
        { jkt: 'x' },
      ]) {
        await hand.refused(hand.link(hand.held.token, { claims: { cnf } }), 'link_malformed');
      }
      const claims = claimsOf(hand.held.token);
      const sign = (change: object) =>
        stage.tokenKey('acme').sign({ typ: 'at+jwt' }, { ...claims, ...change });
      for (const change of [{ cnf: undefined }, { links: undefined }]) {
        await hand.refused(hand.link(sign(change)), 'links_not_allowed');
      }
      const chain = hand.link(hand.held.token);
      await stage.refused(
        { headers: { authorization: `Bearer ${chain}` } },
        { status: 401, reason: 'proof_scheme' },
      );
    });
  });
}

/** A second before the last link ends, so that a hop that gives nothing up would be let through. */
function earlier(chain: string): { exp: number; iat: number } {
  const { exp, iat } = claimsOf(chain.split('~').at(-1) ?? '') as { exp: number; iat: number };
  return { iat, exp: exp - 1 };
}
