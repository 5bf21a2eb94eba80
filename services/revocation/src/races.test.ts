import type { SinceResponse, TokenSubjects } from '@remit/contracts';
import { createRevocationSet } from '@remit/revocation-view';
import { StatusList } from '@sd-jwt/jwt-status-list';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRig, newId, type Rig, subjectsOf, TENANT } from './test/rig.ts';

// Red when `register` doesn't hold the head, when `check` reads the head last, or when a status list
// is kept although a token came in that was dead at birth.

let rig: Rig;
beforeAll(async () => {
  rig = await createRig({ statusListBits: 4_096 });
});
afterAll(() => rig?.[Symbol.asyncDispose]());

type Issued = { token: TokenSubjects; uri: string; idx: number };

async function wholeLog(): Promise<SinceResponse['entries']> {
  const { epoch } = await rig.head();
  const entries: SinceResponse['entries'] = [];
  for (;;) {
    const after = entries.at(-1)?.seq ?? 0;
    const { verifier } = rig;
    const page = await rig.pep.call('revocation.since', TENANT, { epoch, after }, { verifier });
    entries.push(...page.entries);
    if (!page.more) return entries;
  }
}

/** What an issuer does: check, (decide), register; the head of the check is the token's `rev`. */
async function issue(over: Partial<TokenSubjects>): Promise<Issued | undefined> {
  const draft = subjectsOf({ epoch: '', seq: 0 }, over);
  const { head, revoked } = await rig.check([], { tasks: [draft.task], keys: draft.keys });
  if (revoked) return undefined;
  const token = { ...draft, rev: head };
  return { token, ...(await rig.register(token)) };
}

async function shownBits(uri: string): Promise<number[]> {
  const answer = await rig.app.http.inject(new URL(uri).pathname);
  const { lst } = decodeJwt(answer.body)['status_list'] as { lst: string };
  return StatusList.decompressStatusList(lst, 1).statusList;
}

describe('a revocation that meets an issuance', () => {
  it('kills what was decided before it, in every order of events, in feed and status list alike', async () => {
    const issued: Issued[] = [];
    const acknowledged = new Map<string, number>();
    for (let round = 0; round < 12; round++) {
      const agent = `agent-${newId()}`;
      const user = `user-${newId()}`;
      const task = `task_${newId()}`;
      const key = newId();
      const over = { actors: [agent], user, client: agent, task, keys: [key] };
      const issuing = Array.from({ length: 6 }, () => issue(over));
      const revoking = (
        [
          ['agent', agent],
          ['user', user],
          ['task', task],
          ['key', key],
        ] as const
      )
        .slice(round % 4, (round % 4) + 1)
        .map(async ([kind, id]) => {
          acknowledged.set(agent, (await rig.revoke(kind, id)).seq);
        });
      const shown = Promise.all(issued.slice(-1).map(({ uri }) => shownBits(uri)));
      const results = await Promise.all(issuing);
      await Promise.all([...revoking, shown]);
      issued.push(...results.filter((one) => one !== undefined));
    }
    expect(issued.length).toBeGreaterThan(12);

    const set = createRevocationSet({ tenant: TENANT });
    for (const entry of await wholeLog()) set.learn(entry);
    const lists = new Map<string, number[]>();
    let dead = 0;
    for (const { token, uri, idx } of issued) {
      const seq = acknowledged.get(token.actors[0] as string) ?? 0;
      const hit = set.hit(token) !== undefined;
      if (token.rev.seq < seq) expect(hit).toBe(true);
      if (!lists.has(uri)) lists.set(uri, await shownBits(uri));
      expect(lists.get(uri)?.[idx]).toBe(hit ? 1 : 0);
      dead += hit ? 1 : 0;
    }
    expect(dead).toBeGreaterThan(0);
  });

  it('is seen by every check that begins after its acknowledgement', async () => {
    for (let round = 0; round < 20; round++) {
      const task = `task_${newId()}`;
      const { seq } = await rig.revoke('task', task);
      const { head, revoked } = await rig.check([], { tasks: [task] });
      expect(revoked).toEqual({ kind: 'task', id: task, ancestor: false });
      expect(head.seq).toBeGreaterThanOrEqual(seq);
    }
  });
});
