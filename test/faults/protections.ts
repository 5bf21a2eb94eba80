import { setTimeout as pause } from 'node:timers/promises';
import { noteLedger } from './campaign.ts';
import { judge } from './checkers/index.ts';
import { BOUNDS, type InvariantId } from './checkers/model.ts';
import { openForger } from './forger.ts';
import { readHistory } from './history.ts';
import { SABOTAGES } from './sabotages.ts';
import { copyStore, epochOf, forgetStores } from './store-copy.ts';
import type { Held, Work } from './work.ts';
import type { World } from './world.ts';

/** Whether each checker went red for a tool without its protection, and not for the honest ones. */
export type Proof = { invariant: InvariantId; sabotage: string; red: boolean; honestRed: string[] };

/** Long enough for every bound to have passed, lag included. */
const PAST_EVERY_BOUND_MS = 4_500;
/** For the one sabotage that is judged by not coming back. Honest tools take well under a second. */
const RECOVER_MS = 6_000;

/**
 * Runs tools whose PEP lacks one protection each, and honest ones beside them, through what that
 * protection is for. Goes on nothing else: no other fault is in force.
 */
export async function provePeps(world: World, work: Work): Promise<Proof[]> {
  const sabotaged = Object.keys(SABOTAGES);
  await Promise.all(sabotaged.map((name) => world.start(name)));
  const bounds = { ...BOUNDS, recoverMs: RECOVER_MS };
  await using forger = await openForger(world);
  const token = () => work.newToken();

  const scenes: Record<string, (tool: string, held: Held) => Promise<unknown>> = {
    'leave-no-record': (tool, held) => work.call(tool, held),
    'forget-revocations': async (tool, held) => {
      await Promise.all([work.call(tool, held), work.call('erp', held)]);
      await work.revoke('task', held.task);
      await pause(PAST_EVERY_BOUND_MS);
      await Promise.all([work.call(tool, held), work.call('erp', held)]);
    },
    'never-stale': async (tool, held) => {
      const cut = [tool, 'erp-2'];
      for (const each of cut) world.line(each, 'nats').cut();
      for (const pep of cut) world.note({ kind: 'blind', phase: 'begin', pep });
      await pause(PAST_EVERY_BOUND_MS);
      await Promise.all(cut.map((each) => work.call(each, held)));
      for (const pep of cut) world.note({ kind: 'blind', phase: 'end', pep });
      for (const each of cut) world.line(each, 'nats').heal();
    },
    'use-again': async (tool) => {
      const once = await work.newToken('release-payment');
      for (const each of ['erp', 'erp-3', tool]) await work.call(each, once, 'release');
    },
    'any-scope': (tool, held) =>
      Promise.all([tool, 'erp'].map((each) => work.call(each, held, 'export'))),
    'believe-anyone': async (tool, held) => {
      await forger.revokeTask(held.task, tool);
      for (let tries = 0; tries < 20 && (await work.call(tool, held)); tries++) await pause(200);
      await work.call('erp', held);
    },
    'give-up': async (tool, held) => {
      const cut = [tool, 'erp-3'];
      world.note({ kind: 'fault', phase: 'begin', fault: 'give-up', says: 'a line is cut' });
      for (const each of cut) world.line(each, 'nats').cut();
      await pause(1_000);
      for (const each of cut) world.line(each, 'nats').heal();
      world.note({ kind: 'fault', phase: 'end', fault: 'give-up', says: 'a line is cut' });
      const until = performance.now() + RECOVER_MS + 1_000;
      while (performance.now() < until) {
        await Promise.all(cut.map((each) => work.call(each, held)));
        await pause(250);
      }
    },
  };
  const from = world.note({ kind: 'fault', phase: 'end', fault: 'none', says: 'the proofs begin' });
  const prove = async (names: readonly string[]): Promise<Proof[]> => {
    await Promise.all(names.map(async (name) => scenes[name]?.(name, await token())));
    await noteLedger(world, sabotaged);
    // The token of a call may be older than the proofs; their calls are not.
    const scene = readHistory(world.historyFiles).filter(
      ({ t, kind }) => t >= from || kind === 'token',
    );
    return sabotaged.map((sabotage) => {
      const invariant = (SABOTAGES[sabotage] as (typeof SABOTAGES)[string]).breaks;
      // Only these two are called with something good all the time.
      const judged =
        invariant === 'I8'
          ? scene.filter((line) => !('pep' in line) || ['erp-3', sabotage].includes(line.pep))
          : scene;
      const says = judge(judged, { bounds, only: [invariant] }).map((violation) => violation.says);
      return {
        invariant,
        sabotage,
        red: says.some((each) => each.includes(`${sabotage} `)),
        honestRed: says.filter((each) => !sabotaged.some((name) => each.includes(`${name} `))),
      };
    });
  };
  const first = await prove(sabotaged);
  // A scene whose honest part was refused for lack of time shows nothing: it is played once more.
  const missed = first.filter(({ red }) => !red).map(({ sabotage }) => sabotage);
  const proofs = missed.length === 0 ? first : await prove(missed);
  await Promise.all(sabotaged.map((name) => world.kill(name)));
  return proofs;
}

/**
 * Puts the revocation store back while replicas have lost what they know of it from outside: no new
 * epoch begins, and a tool that is started again sees less than before.
 */
export async function proveEpochs(world: World, work: Work): Promise<Proof> {
  const before = await epochOf(world);
  const held = await work.newToken();
  const copy = await copyStore(world);
  await work.revoke('task', held.task);
  await work.revoke('token', held.id);
  await work.call('erp', held);
  const replicas = ['revocation', 'revocation-2'];
  await Promise.all([...replicas, 'erp'].map((name) => world.kill(name)));
  await copy.restore();
  forgetStores(world);
  await Promise.all(replicas.map((name) => world.start(name)));
  await world.start('erp');
  await work.call('erp', held);
  const violations = judge(readHistory(world.historyFiles), { only: ['I6'] });
  return {
    invariant: 'I6',
    sabotage: 'forget-the-store',
    red: violations.some(({ says }) => says.startsWith('erp ')),
    honestRed: (await epochOf(world)) === before ? [] : ['a new epoch began all the same'],
  };
}
