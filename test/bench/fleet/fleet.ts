import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createVerifier } from '@remit/bus';
import { streams, subjects, type TokenSubjects } from '@remit/contracts';
import { testInfra, testServers } from '@remit/testkit';
import { build } from '../../../services/revocation/src/app.ts';
import {
  configOf,
  connect,
  createSources,
  newId,
  subjectsOf,
  TENANT,
} from '../../../services/revocation/src/test/rig.ts';
import type { FromFleet, ToFleet } from './messages.ts';

/** As many processes as there are cores here: a fleet's PEPs have machines of their own, these share. */
const PROCESSES = 2;
/** What a bare message weighs: about as much as a signed revocation. */
const BARE_BYTES = 760;
const TRIES = 5;
/** A bare message that a slow connection lost is not measured: it would never arrive. */
const BARE_WITHIN_MS = 10_000;

export type Fleet = {
  /** Revokes a task; µs from the acknowledgement until the last PEP refuses its token. */
  revoke(from: 'acknowledged' | 'asked'): Promise<number>;
  /** One bare message on the same connections; µs until the last subscriber has it. */
  bare(): Promise<number>;
  /** Revokes so many tasks, which nobody waits for. */
  miss(count: number): Promise<void>;
  /** Cuts every PEP off until each is stale, and longer; `meanwhile` runs while they are. */
  cut(meanwhile?: () => Promise<unknown>): Promise<void>;
  /** Heals, and gives for each PEP the µs until it is connected, or fresh and up to date. */
  heal(until: 'connected' | 'fresh'): Promise<number[]>;
  close(): Promise<void>;
};

const nowUs = (): number => Number(process.hrtime.bigint() / 1_000n);

/**
 * The revocation service on real servers, and `size` PEPs in two processes: each with an account, a
 * connection, a feed and a view of its own. `throughProxy` puts them behind a line that can be cut.
 */
export async function startFleet(size: number, throughProxy = false): Promise<Fleet> {
  const cleanup = new AsyncDisposableStack();
  const servers = testServers();
  cleanup.defer(() => servers.close());
  const names = Array.from({ length: size }, (_, n) => `fleet-${n}`);
  const infra = cleanup.use(
    await testInfra({ servers, services: ['revocation'], peps: { [TENANT]: names } }),
  );
  const sources = await createSources(infra);
  cleanup.defer(() => sources.stop());
  const audit = await connect(infra, 'audit');
  cleanup.defer(() => audit.close());
  await audit.ensureStream(streams.AUDIT, { storage: 'memory' });
  const app = await build(configOf(infra));
  cleanup.defer(() => app.stop());
  await app.start();
  const issuer = await connect(infra, 'issuer');
  cleanup.defer(() => issuer.close());
  const publisher = await connect(infra, 'revocation');
  cleanup.defer(() => publisher.close());
  const verifier = createVerifier(infra.trust().keys.revocation);
  const line = throughProxy ? await infra.throughProxy(infra.natsUrl) : undefined;

  const processes = Array.from({ length: Math.min(PROCESSES, size) }, () =>
    fork(join(import.meta.dirname, 'fleet-main.ts'), {
      execArgv: ['--disable-warning=ExperimentalWarning'],
    }),
  );
  cleanup.defer(async () => {
    for (const each of processes) if (each.connected) each.disconnect();
    await Promise.all(
      processes.filter(({ exitCode }) => exitCode === null).map((each) => once(each, 'exit')),
    );
  });
  await Promise.all(
    processes.map((each, at) =>
      ask(each, 'joined', {
        do: 'join',
        natsUrl: line?.url ?? infra.natsUrl,
        tenant: TENANT,
        revocationKeys: infra.trust().keys.revocation,
        peps: names
          .filter((_, n) => n % processes.length === at)
          .map((name) => ({ user: name, seed: infra.pepCreds(TENANT, name).seed })),
      }),
    ),
  );

  const { epoch, seq } = await issuer.call(
    'revocation.head',
    TENANT,
    { nonce: newId() },
    { verifier },
  );
  const by = { kind: 'service', id: 'issuer' } as const;
  const revokeTask = (id: string) =>
    issuer.call('revocation.revoke', TENANT, { kind: 'task', id, by }, { verifier });
  let mark = 0;
  let reached = seq;

  /** Does something, and gives when the last PEP of all processes had seen it. */
  async function lastSeen(work: () => unknown, subject?: TokenSubjects): Promise<number> {
    mark += 1;
    const message: ToFleet = { do: 'expect', mark, ...(subject ? { subject } : {}) };
    await Promise.all(processes.map((each) => ask(each, 'expecting', message)));
    const seen = processes.map((each) => hear(each, 'arrived'));
    await work();
    return Math.max(...(await Promise.all(seen)).map(({ atUs }) => atUs));
  }

  async function timedRevocation(from: 'acknowledged' | 'asked'): Promise<number> {
    const subject = subjectsOf({ epoch, seq });
    let startUs = 0;
    const endUs = await lastSeen(async () => {
      if (from === 'asked') startUs = nowUs();
      reached = (await revokeTask(subject.task)).seq;
      if (from === 'acknowledged') startUs = nowUs();
    }, subject);
    return Math.max(0, endUs - startUs);
  }

  return {
    async revoke(from) {
      // A machine that has no time at all may leave the request unanswered: that is no revocation yet.
      for (let tries = 1; ; tries++) {
        try {
          return await timedRevocation(from);
        } catch (error) {
          if (tries === TRIES) throw error;
        }
      }
    },
    async bare() {
      for (let tries = 1; ; tries++) {
        let startUs = 0;
        const seen = lastSeen(() => {
          startUs = nowUs();
          publisher.publish(subjects.revocation(TENANT), new Uint8Array(BARE_BYTES));
        });
        const endUs = await Promise.race([seen, after(BARE_WITHIN_MS)]);
        if (endUs !== undefined) return endUs - startUs;
        if (tries === TRIES) throw new Error('a bare message did not reach every subscriber');
      }
    },
    async miss(count) {
      for (let at = 0; at < count; at++) reached = (await revokeTask(`task_${newId()}`)).seq;
    },
    async cut(meanwhile) {
      if (!line) throw new Error('these PEPs have no line to cut');
      line.proxy.cut();
      await Promise.all([
        meanwhile?.(),
        ...processes.map((each) => ask(each, 'each', { do: 'when-lost' })),
      ]);
    },
    async heal(until) {
      const startUs = nowUs();
      line?.proxy.heal();
      const question: ToFleet =
        until === 'connected' ? { do: 'when-connected' } : { do: 'when-fresh', seq: reached };
      const answers = await Promise.all(processes.map((each) => ask(each, 'each', question)));
      if (until === 'connected') {
        // Whole again before the next round.
        const whole: ToFleet = { do: 'when-fresh', seq: reached };
        await Promise.all(processes.map((each) => ask(each, 'each', whole)));
      }
      return answers.flatMap(({ atUs }) => atUs).map((atUs) => atUs - startUs);
    },
    close: () => cleanup.disposeAsync(),
  };
}

function after(ms: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms, undefined).unref();
  });
}

type Said<D extends FromFleet['did']> = Extract<FromFleet, { did: D }>;

function hear<D extends FromFleet['did']>(child: ChildProcess, did: D): Promise<Said<D>> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      child.off('message', take);
      child.off('exit', gone);
    };
    const take = (message: FromFleet): void => {
      if (message.did !== did) return;
      stop();
      resolve(message as Said<D>);
    };
    const gone = (): void => {
      stop();
      reject(new Error('a process of PEPs ended'));
    };
    child.on('message', take);
    child.on('exit', gone);
  });
}

function ask<D extends FromFleet['did']>(
  child: ChildProcess,
  did: D,
  message: ToFleet,
): Promise<Said<D>> {
  const answer = hear(child, did);
  child.send(message);
  return answer;
}
