import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { campaign } from './campaign.ts';
import { proveEpochs, provePeps } from './protections.ts';
import { createRandom } from './random.ts';
import { SABOTAGES } from './sabotages.ts';
import { shortSchedule } from './schedule.ts';
import { startWork } from './work.ts';
import { openWorld, type World } from './world.ts';

/** Printed with a failure; `npm run faults -- --seed N` does the same again. */
const SEED = Number(process.env['FAULTS_SEED'] ?? 20_261);
const MINUTES = 60_000;
const started = (): World => world as World;

let dir: string;
let world: World | undefined;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'remit-faults-'));
  world = await openWorld({ dir });
}, 3 * MINUTES);
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

test(
  'every invariant holds while each kind of fault strikes once',
  async () => {
    const steps = shortSchedule(createRandom(SEED));
    const { violations, recoveries, counts } = await campaign(
      started(),
      createRandom(SEED + 1),
      steps,
      () => {},
    );
    expect(violations, `seed ${SEED}`).toEqual([]);
    expect(recoveries.filter(({ ms }) => ms === null)).toEqual([]);
    // Nothing is proved by a run in which nothing was allowed, revoked or raced for.
    expect(counts.allowed).toBeGreaterThan(50);
    expect(counts.revocations).toBeGreaterThan(2);
    expect(counts.uses).toBeGreaterThan(2);
  },
  5 * MINUTES,
);

// Each tool runs with one line of its PEP's source taken out while it is loaded: see sabotages.ts.
test(
  'each checker goes red for a PEP without the protection, and for no other',
  async () => {
    const work = startWork(started(), createRandom(SEED), { calm: true });
    const proofs = await provePeps(started(), work);
    expect(proofs.map(({ sabotage }) => sabotage)).toEqual(Object.keys(SABOTAGES));
    for (const proof of proofs) expect(proof).toMatchObject({ red: true, honestRed: [] });
  },
  3 * MINUTES,
);

test(
  'a store that is put back unnoticed makes views go back, and the checker goes red',
  async () => {
    const work = startWork(started(), createRandom(SEED), { calm: true });
    expect(await proveEpochs(started(), work)).toMatchObject({ red: true, honestRed: [] });
  },
  3 * MINUTES,
);
