import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { listenForStop, repositoryRoot, StackError, writeDevFile } from '@remit/stack';
import { createNarrator } from './narrate.ts';
import { resetDemoStack, startDemoStack } from './stack.ts';

const { values } = parseArgs({
  options: {
    without: { type: 'string', multiple: true, default: [] },
    reset: { type: 'boolean', default: false },
  },
});
const narrate = createNarrator(process.stdout);
const stop = listenForStop();
const home = join(repositoryRoot, '.remit');
const dir = join(home, 'stack');

/** Brings the stack up on fixed ports, writes `.remit/dev.json` and stays until it is asked to stop. */
async function main(): Promise<number> {
  if (values.reset) resetDemoStack(dir);
  const starting = startDemoStack({
    dir,
    ports: 'fixed',
    without: values.without,
    signal: stop.signal,
    onProgress: narrate.progress,
  });
  const started = await Promise.race([starting, stop.promise.then(() => undefined)]);
  if (!started) {
    await starting.then(
      ({ stopAll }) => stopAll(),
      () => undefined,
    );
    return stop.asked?.exitCode ?? 1;
  }
  const { stack, dev, stopAll } = started;
  const ended = Promise.withResolvers<string>();
  stack.processes.onUnexpectedExit(({ name, logFile }) =>
    ended.resolve(`${name} ended by itself; its log is ${logFile}`),
  );
  const trustFile = join(home, 'trust.json');
  copyFileSync(stack.trustFile, trustFile);
  writeDevFile(join(home, 'dev.json'), { ...dev, trust_file: trustFile });
  narrate.end([
    ...Object.entries(dev.urls).map(([name, url]) => `${name.padEnd(11)} ${url}`),
    `${'nats'.padEnd(11)} ${dev.nats.url} (nats-server ${dev.nats.server})`,
    '',
    ...dev.examples.flatMap(({ says, command }) => [`${says}:`, `  ${command}`]),
    '',
    'Running. Ctrl-C stops everything.',
  ]);
  const why = await Promise.race([stop.promise.then(() => undefined), ended.promise]);
  if (why) process.stderr.write(`remit: ${why}\n`);
  await stopAll();
  return why ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(
    `remit: ${error instanceof StackError ? error.message : (error as Error).stack}\n`,
  );
  process.exitCode = 1;
} finally {
  stop.dispose();
}
