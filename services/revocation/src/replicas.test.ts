import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createVerifier } from '@remit/bus';
import {
  beatShard,
  conform,
  type RevocationBeat,
  revocationBeat,
  SIGNED,
  subjects,
} from '@remit/contracts';
import { variableName } from '@remit/service-kit';
import { testInfra } from '@remit/testkit';
import { describe, expect, it } from 'vitest';
import { configOf, connectPep, createSources, TENANT, until } from './test/rig.ts';

type Heard = { beat: RevocationBeat; atMs: number };

/** Two replicas as processes of their own, and every beat that a PEP heard. */
async function startTwo() {
  const cleanup = new AsyncDisposableStack();
  const infra = cleanup.use(await testInfra({ services: ['revocation'] }));
  const sources = await createSources(infra);
  cleanup.defer(() => sources.stop());
  const pep = await connectPep(infra);
  cleanup.defer(() => pep.close());
  const verifier = createVerifier(infra.trust().keys.revocation);
  const heard: Heard[] = [];
  pep.subscribe(subjects.revocationBeat(beatShard(TENANT)), (_, bytes) => {
    const json = JSON.parse(Buffer.from(verifier.verify(SIGNED.beat, bytes)).toString());
    heard.push({ beat: conform(revocationBeat, json), atMs: performance.now() });
  });
  const children = [1, 2].map(() => {
    const config = configOf(infra, { logLevel: 'info' });
    const env = Object.entries(config).map(([key, value]) => [variableName(key), String(value)]);
    const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
      env: { PATH: process.env['PATH'], REMIT_PARENT_WATCH: '1', ...Object.fromEntries(env) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const replica = { child, leads: false };
    child.stdout.on('data', (chunk: Buffer) => {
      if (chunk.includes('this replica leads the feed')) replica.leads = true;
    });
    cleanup.defer(async () => {
      await end(child, 'SIGKILL');
    });
    return replica;
  });
  return { infra, heard, children, [Symbol.asyncDispose]: () => cleanup.disposeAsync() };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
  return child.exitCode;
}

/** Whether a later beat is of an older term or number: what a view would refuse. */
function disorder(heard: readonly Heard[]): Heard[] {
  return heard.filter(({ beat }, at) => {
    const before = heard[at - 1]?.beat;
    if (!before) return false;
    return beat.term < before.term || (beat.term === before.term && beat.n <= before.n);
  });
}

describe('two replicas', () => {
  it('have one leader; killed, the other goes on within about a second, in a higher term', async () => {
    await using two = await startTwo();
    const { heard, children } = two;
    await until(() => expect(heard.length).toBeGreaterThan(4), 12_000);
    expect(children.filter(({ leads }) => leads)).toHaveLength(1);
    expect(new Set(heard.map(({ beat }) => beat.term)).size).toBe(1);
    const leader = children.find(({ leads }) => leads) as (typeof children)[0];
    const other = children.find(({ leads }) => !leads) as (typeof children)[0];
    const { term } = (heard.at(-1) as Heard).beat;
    await end(leader.child, 'SIGKILL');
    const killedAtMs = performance.now();
    const next = await until(() => {
      const found = heard.find(({ beat }) => beat.term > term);
      expect(found).toBeDefined();
      return found as Heard;
    });
    // The lease's 0.8 s and one turn of 0.25 s, and room for a busy machine.
    expect(next.atMs - killedAtMs).toBeLessThan(2_500);
    expect(next.beat.term).toBe(term + 1);
    expect(other.leads).toBe(true);
    expect(disorder(heard)).toEqual([]);
    // A clean stop ends with code 0 and gives the lease up.
    expect(await end(other.child, 'SIGTERM')).toBe(0);
  }, 40_000);

  it('never show two heads when a leader sleeps and wakes', async () => {
    await using two = await startTwo();
    const { heard, children } = two;
    await until(() => expect(heard.length).toBeGreaterThan(4), 12_000);
    const leader = children.find(({ leads }) => leads) as (typeof children)[0];
    const { term } = (heard.at(-1) as Heard).beat;
    leader.child.kill('SIGSTOP');
    await until(() => expect(heard.some(({ beat }) => beat.term > term)).toBe(true));
    leader.child.kill('SIGCONT');
    const from = heard.length;
    await until(() => expect(heard.length).toBeGreaterThan(from + 6));
    // It noticed that its lease was gone: not one beat of the old term came after the new one's.
    expect(disorder(heard)).toEqual([]);
    expect(new Set(heard.slice(from).map(({ beat }) => beat.term))).toEqual(new Set([term + 1]));
  }, 40_000);
});
