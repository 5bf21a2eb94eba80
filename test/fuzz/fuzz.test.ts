import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as algebra from '@remit/capability/scope';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LAWS } from '../../packages/capability/src/scope/test-support/law-table.ts';
import { fuzz } from './run.ts';
import { type Target, target } from './target.ts';
import { lawTarget, targets } from './targets.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

async function run(chosen: readonly Target[], seed: number, path?: string) {
  const said: string[] = [];
  let rounds = 0;
  const code = await fuzz({
    targets: chosen,
    seed,
    path,
    until: () => (rounds += 1) >= 5,
    runsPerRound: 300,
    say: (line) => said.push(line),
  });
  return { code, said, last: said.at(-1) ?? '' };
}

describe('npm run fuzz', () => {
  // Goes red for a target that doesn't hold, and for a mistake in a target.
  it.each(targets.map((one) => [one.name, one] as const))('holds on %s', async (_, one) => {
    const batch = await one.batch({ numRuns: 60, seed: Date.now() % 2 ** 31 });
    expect(batch.failure).toBeUndefined();
    expect(batch.runs).toBe(60);
  });

  it('finds a planted bug in the algebra and prints a command that replays it', async () => {
    const law = LAWS.find(({ name }) => name === 'meet-exact') ?? expect.fail('no such law');
    const broken = lawTarget(law, {
      ...algebra,
      // Loses what only the second scope demands.
      meet: (a) => ({ ok: true, scope: a }),
    });
    const found = await run([broken], 7);
    expect(found.code).toBe(1);
    const [, name, seed, path] =
      /^npm run fuzz -- --target (\S+) --seed (\d+) --path (\S+)$/.exec(found.last) ??
      expect.fail(found.last);
    expect(name).toBe('law:meet-exact');
    const again = await run([broken], Number(seed), path);
    expect(again.code).toBe(1);
    expect(again.said.slice(0, 3)).toEqual(found.said.slice(0, 3));
    expect((await run([lawTarget(law)], Number(seed), path)).code).toBe(0);
  });

  it('finds a target that throws, and says its counterexample shrunk', async () => {
    const odd = target({
      name: 'odd',
      says: 'no number is above a thousand',
      arbitrary: fc.nat(),
      holds: (n) => {
        if (n > 1000) throw new Error('too large');
        return 'small';
      },
    });
    const { code, said } = await run([odd], 1);
    expect(code).toBe(1);
    expect(said).toContain('  1001');
    expect(said).toContain('  too large');
  });

  it('prints its seed first, what was reached last, and refuses options that it does not know', () => {
    const start = (...args: string[]) =>
      spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], {
        encoding: 'utf8',
      });
    const one = start('--minutes', '0', '--target', 'names', '--seed', '5', '--runs', '50');
    expect(one.status).toBe(0);
    expect(one.stdout).toMatch(/^1 targets, first seed 5\nnames +50 runs {2}refused/);
    expect(start('--target', 'nothing').status).toBe(2);
    expect(start('--minutes', 'two').stderr).toContain('--minutes is a number, not "two".');
    expect(start('--path', '1').stderr).toContain('--path needs one --target.');
  });
});
