import { defineConfig } from 'vitest/config';
import { slowFilesReporter } from './packages/testkit/src/slow-files-reporter.ts';

// oxlint-disable-next-line import/no-default-export -- vitest reads the default export
export default defineConfig({
  test: {
    include: ['{packages,services,demo,infra,test}/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    globalSetup: ['packages/testkit/src/global-setup.ts'],
    // Processes, not threads: a worker starts servers, and their death signal is bound to its thread.
    pool: 'forks',
    maxWorkers: 2,
    // A given nats-server goes from one test file to the next.
    fileParallelism: process.env['REMIT_TEST_INFRA'] !== 'external',
    testTimeout: 15_000,
    hookTimeout: 60_000,
    // The slowest files first, so that a run ends with vitest's own closing lines.
    reporters: [slowFilesReporter(), 'default'],
  },
});
