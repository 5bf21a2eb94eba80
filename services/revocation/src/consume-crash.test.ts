import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Bus, createVerifier } from '@remit/bus';
import { createDatabase, createLogger, variableName } from '@remit/service-kit';
import { type TestInfra, testInfra } from '@remit/testkit';
import { expect, it } from 'vitest';
import type { Tables } from './store/tables.ts';
import {
  configOf,
  connect,
  connectPep,
  createSources,
  newId,
  subjectsOf,
  TENANT,
  until,
} from './test/rig.ts';

const USES = 150;
const CONSUMERS = 4;

function spawnReplica(infra: TestInfra): ChildProcess {
  const env = Object.entries(configOf(infra)).map(([key, value]) => [
    variableName(key),
    String(value),
  ]);
  return spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: { PATH: process.env['PATH'], ...Object.fromEntries(env) },
    stdio: 'ignore',
  });
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

// Judged from outside, as the callers saw it. Goes red when an attempt is not kept with its use (an
// answer that a crash swallowed is `spent` when asked again), or when uses are kept in the process.
it('a use has one consumer, though replicas are killed between commit and answer', async () => {
  await using cleanup = new AsyncDisposableStack();
  const infra = cleanup.use(await testInfra({ services: ['revocation'] }));
  const sources = await createSources(infra);
  cleanup.defer(() => sources.stop());
  const replicas = [spawnReplica(infra), spawnReplica(infra)];
  cleanup.defer(async () => void (await Promise.all(replicas.map(kill))));
  const verifier = createVerifier(infra.trust().keys.revocation);
  const issuer = await connect(infra, 'issuer');
  cleanup.defer(() => issuer.close());
  const peps = await Promise.all(['erp-1', 'erp-2'].map((name) => connectPep(infra, name)));
  cleanup.defer(async () => void (await Promise.all(peps.map((pep) => pep.close()))));
  const { epoch, seq } = await until(
    () => issuer.call('revocation.head', TENANT, { nonce: newId() }, { verifier }),
    20_000,
  );

  type Attempt = { use: string; pep: Bus; attempt: string; outcome: string };
  const attempts: Attempt[] = Array.from({ length: USES }, newId).flatMap((use) =>
    Array.from({ length: CONSUMERS }, (_, n) => ({
      use,
      pep: peps[n % 2] as Bus,
      attempt: newId(),
      outcome: 'unknown',
    })),
  );
  const exp = Math.floor(Date.now() / 1_000) + 300;
  const ask = async (one: Attempt, policy: 'quick' | 'attempt'): Promise<void> => {
    const token = { ...subjectsOf({ epoch, seq }, { jti: one.use }), exp, task_type: 't' };
    const body = { use_id: one.use, attempt: one.attempt, token, audience: 'https://erp.test' };
    one.outcome = await one.pep
      .call('revocation.consume', TENANT, body, { verifier, policy })
      .then(({ outcome }) => outcome)
      .catch(() => 'unknown');
  };
  const consumersOf = (use: string) =>
    attempts.filter((one) => one.use === use && one.outcome === 'consumed').length;

  // One answer each, no retries: what is in work in the replica that is killed gets none.
  let answered = 0;
  const killing = Promise.withResolvers<void>();
  const asking = attempts.map(async (one) => {
    await ask(one, 'quick');
    if (++answered === 40) killing.resolve(kill(replicas[0] as ChildProcess));
  });
  await killing.promise;
  await Promise.all(asking);
  const swallowed = attempts.filter(({ outcome }) => outcome === 'unknown');
  expect(swallowed.length).toBeGreaterThan(0);
  for (const { use } of attempts) expect(consumersOf(use)).toBeLessThanOrEqual(1);

  // The other one is killed too, and a new one asked: each attempt again, under its name.
  const seen = attempts.map(({ outcome }) => outcome);
  await kill(replicas[1] as ChildProcess);
  replicas.push(spawnReplica(infra));
  await until(
    () => issuer.call('revocation.head', TENANT, { nonce: newId() }, { verifier }),
    20_000,
  );
  for (let at = 0; at < attempts.length; at += 50) {
    await Promise.all(attempts.slice(at, at + 50).map((one) => ask(one, 'attempt')));
  }
  for (const [at, outcome] of seen.entries()) {
    if (outcome !== 'unknown') expect(attempts[at]?.outcome).toBe(outcome);
  }
  for (const { use } of attempts) expect(consumersOf(use)).toBe(1);

  const database = await createDatabase<Tables>({
    url: infra.databaseUrl('revocation'),
    schema: 'revocation',
    log: createLogger({ service: 'test', instance: 't', level: 'fatal' }),
    insecure: true,
  });
  cleanup.defer(() => database.close());
  const owners = await database.withTenant(TENANT, (trx) =>
    trx.selectFrom('single_use').select('attempt').execute(),
  );
  const consumed = attempts.filter(({ outcome }) => outcome === 'consumed');
  expect(owners.map(({ attempt }) => attempt).toSorted()).toEqual(
    consumed.map(({ attempt }) => attempt).toSorted(),
  );
}, 60_000);
