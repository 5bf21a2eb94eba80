import type { TestProject } from 'vitest/node';
import { type BrokerAddress, startBroker } from './broker.ts';
import { testServers } from './servers.ts';

declare module 'vitest' {
  // oxlint-disable-next-line typescript/consistent-type-definitions -- merging needs an interface
  interface ProvidedContext {
    remitTestBroker: BrokerAddress;
  }
}

/** Run once per test run by vitest: offers the servers to all test files, and ends them after the last. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const broker = await startBroker(testServers());
  project.provide('remitTestBroker', broker.address);
  return () => broker.close();
}
