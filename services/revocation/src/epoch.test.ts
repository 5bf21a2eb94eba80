import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beatShard, conform, revocationBeat, SIGNED, subjects } from '@remit/contracts';
import { createRevocationView } from '@remit/revocation-view';
import { expect, it } from 'vitest';
import { createRig, newId, subjectsOf, TENANT, until } from './test/rig.ts';

it('a new epoch kills every token decided before, keeps revoked keys, and views follow', async () => {
  await using rig = await createRig();
  const { pep, verifier } = rig;
  const now = () => performance.now();
  const view = createRevocationView({ tenant: TENANT });
  pep.subscribe(subjects.revocationBeat(beatShard(TENANT)), (_, bytes) => {
    const json = JSON.parse(Buffer.from(verifier.verify(SIGNED.beat, bytes)).toString());
    view.applyBeat(conform(revocationBeat, json), now());
  });
  const fresh = () =>
    until(async () => {
      const need = view.needs(now());
      const nonce = newId();
      if (need?.want === 'head') {
        const sentAt = now();
        const answer = await pep.call('revocation.head', TENANT, { nonce }, { verifier });
        view.applyHead(answer, sentAt, now());
      } else if (need?.want === 'snapshot') {
        view.applySnapshot([
          await pep.call('revocation.snapshot', TENANT, { nonce }, { verifier }),
        ]);
      } else if (need?.want === 'since') {
        const { epoch, after } = need;
        view.applySince(await pep.call('revocation.since', TENANT, { epoch, after }, { verifier }));
      }
      expect(view.fresh(now())).toBe(true);
    });

  const key = newId();
  await rig.revoke('key', key);
  await rig.revoke('user', 'alice');
  const before = await rig.head();
  const token = subjectsOf({ epoch: before.epoch, seq: before.seq });
  await fresh();
  expect(view.check(token, now())).toEqual({ verdict: 'live' });

  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(import.meta.dirname, 'new-epoch.ts')],
    {
      env: {
        REMIT_DATABASE_OWNER_URL: rig.infra.ownerUrl('revocation'),
        REMIT_INSECURE_DATABASE: 'true',
      },
    },
  );
  const epoch = /^revocation: epoch ([\w-]{8}) began\n$/.exec(stdout)?.[1] as string;

  await until(() => expect(view.fresh(now())).toBe(false));
  await fresh();
  expect(view.check(token, now())).toMatchObject({ verdict: 'revoked', reason: 'epoch_ended' });
  expect((await rig.check([token])).revoked).toMatchObject({ kind: 'tenant' });
  await expect(rig.register(token)).rejects.toMatchObject({ details: { code: 'CONFLICT' } });
  const head = await rig.head();
  expect(head.epoch).toBe(epoch);
  expect(head.tag).not.toBe(before.tag);
  const next = subjectsOf({ epoch, seq: head.seq });
  expect(view.check(next, now())).toEqual({ verdict: 'live' });
  expect(view.check({ ...next, keys: [key] }, now())).toMatchObject({ reason: 'key_revoked' });
});
