import { expect, test } from 'vitest';
import { build } from './app.ts';
import { decisions } from './test/messages.ts';
import { testService } from './test/service.ts';

test('a ledger that is behind what was signed of it is not continued, and the reason is said', async () => {
  await using service = await testService();
  const marked = service.marked('boot1', 6);
  const producer = { service: 'issuer', instance: 'i1', version: '0.1.0', boot: 'boot1' };
  await service.send(
    [1, 2, 3, 4, 5, 6].flatMap((n) => decisions(1, { producer: { ...producer, n } })),
  );
  await marked;
  await service.app.stop();
  const tables = ['records', 'disclosures', 'heads', 'tree_nodes', 'checkpoints'];
  for (const table of tables) {
    await service.sql(`alter table ${table} no force row level security`);
    await service.sql(`delete from ${table}`);
  }
  // Without the comparison at the start it would begin a second history under the same name.
  const restored = await build(service.config, { fetch: service.people.fetch });
  await expect(restored.start()).rejects.toThrow(
    expect.objectContaining({
      code: 'CHECKPOINT_BEHIND',
      message: expect.stringMatching(
        /^The ledger of acme has 0 records, and the checkpoint kept at the checkpoint folder has [1-9]/,
      ),
    }),
  );
  await restored.stop();
  expect(await service.sql('select seq from records')).toEqual([]);
});
