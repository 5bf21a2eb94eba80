import { rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { copyStore, epochOf } from './store-copy.ts';
import { type Server, TOOLS, type World } from './world.ts';

/** One thing that is broken for a while. Data, so that a schedule can be written down and replayed. */
export type Fault =
  | { do: 'kill'; targets: readonly string[]; forMs: number }
  | { do: 'stop'; targets: readonly string[]; forMs: number }
  | { do: 'kill-at'; target: string; says: string; moment: 'before-commit' | 'after-commit' }
  | {
      do: 'part';
      targets: readonly string[];
      from: Server;
      how: 'cut' | 'both' | 'in' | 'out';
      forMs: number;
    }
  | { do: 'flap'; targets: readonly string[]; from: Server; times: number }
  | { do: 'slow'; targets: readonly string[]; from: Server; delayMs: number; forMs: number }
  | { do: 'clock'; targets: readonly string[]; offsetMs: number; forMs: number }
  | { do: 'wipe-jetstream' }
  | { do: 'put-back-store' };

/** What each statement is that a process may be killed at. */
const MOMENTS: Readonly<Record<string, RegExp>> = {
  consumption: /insert into "?single_use"?/,
  revocation: /insert into "revocation"/,
  registration: /insert into "registration/,
  record: /insert into "?records"?/,
};

const KILL_AT_WITHIN_MS = 4_000;
const FLAP_MS = 150;

export const inWords = (fault: Fault): string => {
  const who = 'targets' in fault ? fault.targets.join(', ') : 'target' in fault ? fault.target : '';
  switch (fault.do) {
    case 'kill':
    case 'stop':
      return `${fault.do === 'kill' ? 'SIGKILL' : 'SIGSTOP'} ${who} for ${fault.forMs} ms`;
    case 'kill-at':
      return `SIGKILL ${who} ${fault.moment.replace('-', ' ')} of a ${fault.says}`;
    case 'part':
      return `${fault.how === 'cut' ? 'cut' : `half-open (${fault.how})`} ${who} from ${fault.from} for ${fault.forMs} ms`;
    case 'flap':
      return `flap ${who} from ${fault.from} ${fault.times} times`;
    case 'slow':
      return `slow ${who} to ${fault.from} by ${fault.delayMs} ms for ${fault.forMs} ms`;
    case 'clock':
      return `wall clock of ${who} off by ${fault.offsetMs / 1_000} s for ${fault.forMs} ms`;
    case 'wipe-jetstream':
      return 'wipe the JetStream store';
    case 'put-back-store':
      return 'put the revocation store back to an older copy';
  }
};

let numbers = 0;

/** Breaks something, heals it, and notes both. Resolves when what was killed has been started again. */
export async function inflict(world: World, fault: Fault): Promise<void> {
  const id = `fault-${++numbers}`;
  const says = inWords(fault);
  world.note({ kind: 'fault', phase: 'begin', fault: id, says });
  try {
    await act(world, fault);
  } finally {
    world.note({ kind: 'fault', phase: 'end', fault: id, says });
  }
}

async function act(world: World, fault: Fault): Promise<void> {
  switch (fault.do) {
    case 'kill':
      return kill(world, fault.targets, fault.forMs);
    case 'stop': {
      const blind = blinds(world, fault.targets, 'stop');
      for (const name of fault.targets) world.signal(name, 'SIGSTOP');
      blind.begin();
      await pause(fault.forMs);
      blind.end();
      for (const name of fault.targets) world.signal(name, 'SIGCONT');
      return undefined;
    }
    case 'kill-at':
      return killAt(world, fault);
    case 'part': {
      const lines = fault.targets.map((name) => world.line(name, fault.from));
      for (const line of lines) {
        if (fault.how === 'cut') line.cut();
        else line.freeze(fault.how);
      }
      // What only can't speak still hears, for a while.
      const deaf = fault.from === 'nats' && fault.how !== 'out' ? fault.targets : [];
      const blind = blinds(world, deaf, 'part');
      blind.begin();
      await pause(fault.forMs);
      blind.end();
      for (const line of lines) line.heal();
      return undefined;
    }
    case 'flap': {
      const lines = fault.targets.map((name) => world.line(name, fault.from));
      for (let n = 0; n < fault.times; n++) {
        for (const line of lines) line.cut();
        await pause(FLAP_MS);
        for (const line of lines) line.heal();
        await pause(FLAP_MS);
      }
      return undefined;
    }
    case 'slow': {
      const lines = fault.targets.map((name) => world.line(name, fault.from));
      for (const line of lines) line.delay(fault.delayMs);
      await pause(fault.forMs);
      for (const line of lines) line.delay(0);
      return undefined;
    }
    case 'clock':
      for (const name of fault.targets) world.clock(name, fault.offsetMs);
      await pause(fault.forMs);
      for (const name of fault.targets) world.clock(name, 0);
      return undefined;
    case 'wipe-jetstream': {
      await world.kill('nats');
      const blind = blinds(world, ['nats'], 'kill');
      blind.begin();
      rmSync(world.stack.plan.path('jetstream'), { recursive: true });
      blind.end();
      return world.start('nats');
    }
    case 'put-back-store': {
      const copy = await copyStore(world);
      // Long enough that something is revoked and spent that the copy does not know.
      await pause(1_500);
      const replicas = ['revocation', 'revocation-2'];
      await Promise.all(replicas.map((name) => world.kill(name)));
      const blind = blinds(world, replicas, 'kill');
      blind.begin();
      await copy.restore();
      blind.end();
      await Promise.all(replicas.map((name) => world.start(name)));
      world.note({ kind: 'epoch', epoch: await epochOf(world) });
      return undefined;
    }
  }
}

async function kill(world: World, targets: readonly string[], forMs: number): Promise<void> {
  await Promise.all(targets.map((name) => world.kill(name)));
  const blind = blinds(world, targets, 'kill');
  blind.begin();
  await pause(forMs);
  blind.end();
  // Servers first: what is started waits for them.
  const isServer = (name: string): boolean => name === 'nats' || name === 'postgres';
  const servers = targets.filter(isServer);
  for (const name of servers) await world.start(name);
  await Promise.all(
    targets.filter((name) => !servers.includes(name)).map((name) => world.start(name)),
  );
}

/**
 * Kills a process at the moment when it says or hears something certain on its line to PostgreSQL:
 * `before-commit`: the transaction of such a statement was not committed; `after-commit`: it was, and
 * the process never learns of it. When nothing of the kind is said in time, it is killed anyway.
 */
async function killAt(
  world: World,
  { target, says, moment }: Extract<Fault, { do: 'kill-at' }>,
): Promise<void> {
  const statement = MOMENTS[says] as RegExp;
  const line = world.line(target, 'postgres');
  const struck = Promise.withResolvers<void>();
  let connection: number | undefined;
  let committing = false;
  const strike = (): void => {
    // The line first, so that what was just said goes no further.
    line.cut();
    world.stack.process(target).signal('SIGKILL');
    world.tap(target, undefined);
    struck.resolve();
  };
  world.tap(target, (each, from, chunk) => {
    if (connection === undefined) {
      if (from === 'client' && statement.test(chunk.toString('latin1'))) connection = each;
      else return;
    }
    if (each !== connection) return;
    if (from === 'client') {
      if (!/commit\0/i.test(chunk.toString('latin1'))) return;
      committing = true;
      if (moment === 'before-commit') strike();
    } else if (committing && moment === 'after-commit') strike();
  });
  const inTime = await Promise.race([
    struck.promise.then(() => true),
    pause(KILL_AT_WITHIN_MS, false),
  ]);
  if (!inTime) strike();
  await world.stack.process(target).exited;
  line.heal();
  await world.start(target);
}

/** Whom a fault keeps from hearing anything of the feed. */
function blinds(world: World, targets: readonly string[], how: 'kill' | 'stop' | 'part') {
  const feed = ['nats', 'postgres'].some((name) => targets.includes(name));
  const senders = ['revocation', 'revocation-2'].every((name) => targets.includes(name));
  // A stopped tool decides nothing; what it decides when it wakes is judged by what was revoked.
  const tools = how === 'part' ? TOOLS.filter((name) => targets.includes(name)) : [];
  const peps = feed || senders ? ['*'] : tools;
  const say = (phase: 'begin' | 'end') => (): void => {
    for (const pep of peps) world.note({ kind: 'blind', phase, pep });
  };
  return { begin: say('begin'), end: say('end') };
}
