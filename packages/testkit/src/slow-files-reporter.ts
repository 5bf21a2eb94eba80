import type { Reporter, TestModule } from 'vitest/node';

const SHOWN = 10;

/** Prints the ten slowest test files of a run, so that a slow one is noticed while it is new. */
export function slowFilesReporter(): Reporter {
  return {
    onTestRunEnd(modules: readonly TestModule[]) {
      const timed = modules
        .map((module) => {
          const { collectDuration, duration } = module.diagnostic();
          return { file: module.relativeModuleId, ms: collectDuration + duration };
        })
        .toSorted((a, b) => b.ms - a.ms)
        .slice(0, SHOWN);
      if (modules.length <= 1) return;
      const lines = timed.map(
        ({ file, ms }) => `  ${(ms / 1000).toFixed(1).padStart(5)} s  ${file}`,
      );
      process.stdout.write(`\n Slowest files\n${lines.join('\n')}\n`);
    },
  };
}
