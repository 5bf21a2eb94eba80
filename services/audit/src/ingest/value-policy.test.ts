import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMetrics } from '@remit/service-kit';
import { expect, test } from 'vitest';
import { testLedger } from '../test/ledger.ts';
import { DISCLOSED, decision, messageOf } from '../test/messages.ts';
import { createIngest } from './ingest.ts';
import { readValuePolicy } from './value-policy.ts';

test('of each field a tenant keeps the value, the salt or nothing, and the ledger verifies', async () => {
  await using ledger = await testLedger();
  const file = join(ledger.infra.tmpDir, 'values.json');
  const write = (policies: unknown) => writeFileSync(file, JSON.stringify(policies));
  write({
    acme: { principal: 'commit', args: 'drop', arg: { 'a/b': 'keep' } },
    '*': { principal: 'drop', purpose: 'drop' },
  });
  const policy = readValuePolicy(file);
  expect(policy('acme', '/operation/args/note')).toBe('drop');
  expect(policy('acme', '/operation/args/a~1b')).toBe('keep');
  expect(policy('acme', '/operation/args/constructor')).toBe('drop');
  expect(policy('acme', '/task/purpose')).toBe('keep');
  expect(policy('globex', '/task/purpose')).toBe('drop');
  expect(policy('globex', '/source')).toBe('keep');
  expect(readValuePolicy(undefined)('acme', '/principal')).toBe('keep');

  const metrics = createMetrics({ service: 'audit', version: 'test' });
  const log = { error() {}, warn() {}, info() {} } as never;
  const { database } = ledger;
  const ingest = createIngest({ database, log, metrics, policy, onCommitted() {} });
  metrics.stop();
  await ingest([messageOf(decision(1), DISCLOSED)]);
  await ledger.checkpointer.run('acme');
  const kept = await ledger.behindItsBack(
    'select pointer, length(salt) > 0 as salt, value from disclosures',
  );
  expect(kept).toEqual([{ pointer: '/principal', salt: true, value: null }]);
  expect(await ledger.verify()).toMatchObject({ ok: true, confirmed: 1 });

  for (const junk of [
    [],
    { acme: { principal: 'hide' } },
    { acme: { users: 'keep' } },
    { ACME: {} },
  ]) {
    write(junk);
    expect(() => readValuePolicy(file)).toThrow(
      expect.objectContaining({ code: 'VALUE_POLICY_INVALID' }),
    );
  }
});
