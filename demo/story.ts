import { parseArgs } from 'node:util';
import { listenForStop, StackError } from '@remit/stack';
import { openComposeDemo } from './compose/stack.ts';
import { createNarrator } from './narrate.ts';
import { type DemoStack, startDemoStack } from './stack.ts';
import { tell } from './tell.ts';
import { openWorld, type World } from './world.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    /** Tells it to the containers of docker-compose.yml, which run already and are left running. */
    compose: { type: 'boolean', default: false },
  },
});
const narrate = createNarrator(values.json ? process.stderr : process.stdout);
const stop = listenForStop();

async function start(): Promise<Pick<DemoStack, 'dev' | 'stopAll'> & Pick<World, 'line'>> {
  if (values.compose) return openComposeDemo();
  return startDemoStack({ ports: 'free', signal: stop.signal, onProgress: narrate.progress });
}

/** Starts everything, tells the story, and leaves nothing behind, whatever happens. */
async function main(): Promise<number> {
  const startedAt = performance.now();
  const starting = start();
  const started = await Promise.race([starting, stop.promise.then(() => undefined)]);
  if (!started) {
    // What is half started is stopped as soon as it stands, or has stopped itself.
    await starting.then(
      ({ stopAll }) => stopAll(),
      () => undefined,
    );
    return stop.asked?.exitCode ?? 1;
  }
  const { dev, line, stopAll } = started;
  const world = openWorld(dev, { narrate, line });
  try {
    const report = await Promise.race([tell(world, narrate), stop.promise.then(() => undefined)]);
    if (!report) return stop.asked?.exitCode ?? 1;
    const { steps, audit, revocation } = report;
    const asExpected = steps.filter((step) => step.ok).length;
    const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
    narrate.end([
      [
        `${asExpected} of ${steps.length} steps as expected`,
        `${audit.records} records ${audit.verified ? 'verified' : 'NOT verified'}`,
        `revoked to refused in ${revocation.ackToRefusedMs ?? '?'} ms`,
        `${seconds} s in all`,
      ].join(' · '),
    ]);
    if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
    return report.ok ? 0 : 1;
  } finally {
    await world.close().catch(() => undefined);
    await stopAll();
  }
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
