import { audienceOf, signInAs } from '@remit/cli';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Stage } from '../stage.ts';

/** Attacks on what a tenant's guardrails are, at the running pdp. */
export function policies(at: () => Stage): void {
  let url: string;
  let dora: string;
  let alice: string;
  beforeAll(async () => {
    const { dev } = at().demo;
    url = audienceOf(dev, 'pdp');
    [dora, alice] = (await Promise.all(
      ['dora', 'alice'].map(async (user) => (await signInAs(dev, user, url)).accessToken),
    )) as [string, string];
  });

  const send = async (token: string, path: string, body?: string) => {
    const response = await fetch(`${url}/admin/v1/policies${path}`, {
      method: body === undefined && path === '' ? 'GET' : 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const answer = (await response.json()) as {
      code?: string;
      active?: { version: string };
      versions?: { version: string }[];
    };
    return { status: response.status, ...answer };
  };
  const state = async () => {
    const { active, versions = [] } = await send(dora, '');
    return { active: active?.version, versions: versions.map(({ version }) => version) };
  };
  const files = (set: Record<string, string>) => JSON.stringify({ message: 'row 53', files: set });

  describe('a bundle of guardrails', () => {
    // Goes red when an upload or an activation skips one of its checks.
    test('row 53: that is malformed, blank or oversized leaves the good one deciding', async () => {
      const before = await state();
      const bad: [string, number][] = [
        [files({ 'a.cedar': '' }), 422],
        [files({ 'a.cedar': ' \n' }), 422],
        [files({ 'a.cedar': '@id("a") forbid (' }), 422],
        [files({ 'a.cedar': '@id("") forbid (principal, action, resource);' }), 422],
        [files({ 'a.cedar': '@id("a") permit (principal, action, resource);' }), 422],
        [files({ 'a.cedar': '@id("a") forbid (principal == ?principal, action, resource);' }), 422],
        [files({ '../a.cedar': '@id("a") forbid (principal, action, resource);' }), 422],
        [files({ 'a.cedar': '//'.repeat(300_000), 'b.cedar': '//'.repeat(300_000) }), 422],
        [files({ 'a.cedar': '//'.repeat(550_000) }), 400],
        [files({ 'a.cedar': 'x'.repeat(2_200_000) }), 413],
        [files({}), 400],
        ['{"message":"","files":{"a.cedar":"x"}}', 400],
        ['{"message":"m","files":null}', 400],
        ['null', 400],
      ];
      for (const [body, status] of bad) {
        const answer = await send(dora, '', body);
        expect([answer.status, body.slice(0, 80)]).toEqual([status, body.slice(0, 80)]);
      }
      expect(await state()).toEqual(before);
    });

    test('row 53: is rolled back by nobody but an administrator, and to nothing that was not uploaded', async () => {
      const before = await state();
      const { active = '' } = before;
      expect(await send(alice, '/rollback', '{}')).toMatchObject({ status: 403 });
      expect(await send(alice, `/${active}/activate`)).toMatchObject({ status: 403 });
      expect(await send(dora, `/${'A'.repeat(43)}/activate`)).toMatchObject({ status: 404 });
      expect(await send(dora, '/rollback', `{"from":"${'A'.repeat(43)}"}`)).toMatchObject({
        status: 409,
        code: 'CONFLICT',
      });
      expect(await state()).toEqual(before);
    });
  });
}
