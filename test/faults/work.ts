import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type Agent, type Capability, createAgent, type PrivateJwk } from '@remit/agent';
import { audienceOf, signInAs } from '@remit/cli';
import type { Forger } from './forger.ts';
import type { Random } from './random.ts';
import { TOOLS, type World } from './world.ts';

/** What goes on while things are broken: agents that call, people who revoke, uses that are raced for. */
export type Work = {
  /** Calls a tool with a token, and notes it. True when it was allowed. */
  call(tool: string, token: Held, what?: What): Promise<boolean>;
  newToken(task?: 'supplier-risk-summary' | 'release-payment'): Promise<Held>;
  child(of: Held): Promise<Held>;
  revoke(what: 'token' | 'task' | 'agent' | 'user', id: string): Promise<boolean>;
  /** A token that nobody has revoked, as far as is known here; waits until there is one. */
  live(): Promise<Held>;
  counts(): Record<'calls' | 'allowed' | 'tokens' | 'revocations' | 'uses', number>;
  stop(): Promise<void>;
};
export type Held = { id: string; task: string; capability: Capability };
export type What = 'read' | 'risk' | 'release' | 'export';

const WHAT = {
  read: {
    method: 'GET',
    path: '/suppliers/S-100',
    action: 'suppliers.read',
    resource: 'erp/suppliers/S-100',
  },
  risk: {
    method: 'GET',
    path: '/suppliers/S-100/risk',
    action: 'suppliers.risk.read',
    resource: 'erp/suppliers/S-100',
  },
  release: {
    method: 'POST',
    path: '/payments/P-1/release',
    action: 'payments.release',
    resource: 'erp/payments/P-1',
  },
  /** Nobody's token says this. */
  export: {
    method: 'GET',
    path: '/suppliers/S-999',
    action: 'suppliers.read',
    resource: 'erp/suppliers/S-999',
  },
} as const;

const CALL_TIMEOUT_MS = 2_000;
const SIGN_IN_AGAIN_MS = 60_000;
const POOL = 8;
/** Tokens that are dead or old and are tried again and again. */
const GRAVES = 30;

type Claims = {
  jti: string;
  sub: string;
  lineage: string[];
  task: { id: string };
  act: unknown;
  single_use?: string;
  rev: { epoch: string; seq: number };
  authorization_details: { actions: string[]; resources?: string[]; locations?: string[] }[];
};

/** Starts the work; it goes on until `stop`. `calm` starts none of its loops. */
export function startWork(
  world: World,
  random: Random,
  options: { calm?: boolean; forger?: Forger } = {},
): Work {
  const { dev, note, stack } = world;
  const counts = { calls: 0, allowed: 0, tokens: 0, revocations: 0, uses: 0 };
  const pool: Held[] = [];
  const graves: Held[] = [];
  const over = new AbortController();

  const issuers = ['issuer', 'issuer-2'].map((name) => stack.plan.url(name));
  /** The public address, brought to one of both replicas; to the other one when it is gone. */
  const balanced: typeof fetch = async (input, init) => {
    const url = String(input instanceof Request ? input.url : input);
    const order = random.chance(0.5) ? issuers : issuers.toReversed();
    const ask = (base: string) => fetch(url.replace(issuers[0] as string, base), init);
    return ask(order[0] as string).catch(() => ask(order[1] as string));
  };
  const agents = new Map<string, Agent>(
    ['procurement-agent', 'risk-analyst'].map((id) => {
      const file = dev.clients.find((client) => client.id === id)?.key_file as string;
      const { keys } = JSON.parse(readFileSync(file, 'utf8')) as { keys: PrivateJwk[] };
      const key = keys[0] as PrivateJwk;
      return [
        id,
        createAgent({ issuer: dev.issuer, clientId: id, key, fetch: balanced, timeoutMs: 5_000 }),
      ];
    }),
  );
  const agent = (id: string): Agent => agents.get(id) as Agent;

  const accessTokens = new Map<string, { at: number; token: Promise<string> }>();
  const accessToken = (user: string, service: string): Promise<string> => {
    const key = `${user} ${service}`;
    const known = accessTokens.get(key);
    if (known && performance.now() - known.at < SIGN_IN_AGAIN_MS) return known.token;
    const token = signInAs(dev, user, audienceOf(dev, service)).then(
      (signed) => signed.accessToken,
    );
    token.catch(() => accessTokens.delete(key));
    accessTokens.set(key, { at: performance.now(), token });
    return token;
  };

  function hold(capability: Capability): Held {
    const text = Buffer.from(capability.token.split('.')[1] ?? '', 'base64url').toString('utf8');
    const claims = JSON.parse(text) as Claims;
    note({
      kind: 'token',
      token: claims.jti,
      lineage: claims.lineage,
      task: claims.task.id,
      user: claims.sub,
      agents: actorsOf(claims.act),
      use: claims.single_use ?? null,
      rev: claims.rev,
      permissions: capability.permissions.map(({ actions, resources }) => ({
        actions: [...actions],
        resources: [...(resources ?? [])],
      })),
    });
    counts.tokens += 1;
    return { id: claims.jti, task: claims.task.id, capability };
  }

  const work: Work = {
    async call(tool, held, what = 'read') {
      const { method, path, action, resource } = WHAT[what];
      const call = randomUUID();
      counts.calls += 1;
      note({ kind: 'call', phase: 'invoke', call, pep: tool, token: held.id, action, resource });
      try {
        const response = await fetch(stack.plan.url(tool) + path, {
          method,
          headers: {
            ...held.capability.headers(method, dev.erp_audience + path),
            'x-call': call,
          },
          signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
        });
        const text = await response.text();
        const decision = response.headers.get('remit-decision');
        const answer = response.ok ? 'allow' : codeOf(text);
        note({ kind: 'call', phase: 'ok', call, answer, decision });
        if (response.ok) counts.allowed += 1;
        return response.ok;
      } catch {
        note({ kind: 'call', phase: 'info', call });
        return false;
      }
    },
    async newToken(taskType = 'supplier-risk-summary') {
      const { idToken } = await signInAs(dev, 'alice');
      return hold(
        await agent('procurement-agent').startTask({
          idToken,
          taskType,
          slots: taskType === 'release-payment' ? { payment: 'P-1' } : { supplier: 'S-100' },
          resource: dev.erp_audience,
        }),
      );
    },
    async child(of) {
      const handover = await agent('procurement-agent').delegate(of.capability, {
        actorToken: await agent('risk-analyst').actorToken(),
        requested: [
          { actions: ['suppliers.risk.read'], resources: ['erp/suppliers/S-100'], args: [] },
        ],
      });
      return hold(agent('risk-analyst').receive(handover));
    },
    async revoke(what, id) {
      const revoke = randomUUID();
      const token = await accessToken('dora', 'revocation');
      note({ kind: 'revoke', phase: 'invoke', revoke, what, id });
      try {
        const replica = random.pick(['revocation', 'revocation-2']);
        const response = await fetch(`${stack.plan.url(replica)}/t/${dev.tenant}/revoke`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ kind: what, id }),
          signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
        });
        if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
        const { epoch, seq } = (await response.json()) as { epoch: string; seq: number };
        note({ kind: 'revoke', phase: 'ok', revoke, epoch, seq });
        counts.revocations += 1;
        return true;
      } catch {
        note({ kind: 'revoke', phase: 'info', revoke });
        return false;
      }
    },
    async live() {
      while (!over.signal.aborted) {
        const held = pool.at(-1);
        if (held) return held;
        await pause(20);
      }
      throw new Error('the work is over');
    },
    counts: () => ({ ...counts }),
    async stop() {
      over.abort();
      await Promise.all(loops);
    },
  };

  /** Does something again and again; what fails is part of the game. */
  async function loop(everyMs: number, turn: () => Promise<unknown>): Promise<void> {
    while (!over.signal.aborted) {
      await turn().catch(() => undefined);
      await pause(everyMs * (0.5 + random.next()));
    }
  }
  const bury = (dead: readonly Held[]): void => {
    graves.push(...dead);
    if (graves.length > GRAVES) graves.splice(0, graves.length - GRAVES);
  };

  const loops = options.calm
    ? []
    : [
        // Two callers for each tool, mostly with tokens that are good.
        ...TOOLS.flatMap((tool) => [tool, tool]).map((tool) =>
          loop(60, async () => {
            const dead = graves.length > 0 && random.chance(0.2);
            const held = dead ? random.pick(graves) : random.pick(pool.slice(-4));
            if (!held) return;
            const what = random.chance(0.05) ? 'export' : random.chance(0.4) ? 'risk' : 'read';
            await work.call(tool, held, what);
          }),
        ),
        loop(300, async () => {
          const held = await work.newToken();
          pool.push(held);
          if (random.chance(0.3)) pool.push(await work.child(held));
          if (pool.length > POOL) bury(pool.splice(0, pool.length - POOL));
        }),
        loop(500, async () => {
          const held = random.pick(pool);
          if (!held) return;
          const [what, id] = random.pick([
            ['token', held.id],
            ['token', held.id],
            ['task', held.task],
            ['task', held.task],
            ...(random.chance(0.15)
              ? ([
                  ['agent', 'procurement-agent'],
                  ['user', 'alice'],
                ] as const)
              : []),
          ] as const);
          await work.revoke(what, id);
          const wide = what === 'agent' || what === 'user';
          const hit = pool.filter(
            ({ id: each, task }) => wide || each === id || task === held.task,
          );
          for (const each of hit) pool.splice(pool.indexOf(each), 1);
          bury(hit);
        }),
        loop(700, async () => {
          const held = random.pick(pool);
          if (held) await options.forger?.revokeTask(held.task, random.pick(TOOLS));
        }),
        loop(700, async () => {
          const held = await work.newToken('release-payment');
          counts.uses += 1;
          await Promise.all([...TOOLS, ...TOOLS].map((tool) => work.call(tool, held, 'release')));
        }),
      ];
  return work;
}

function actorsOf(act: unknown): string[] {
  const { sub, act: below } = act as { sub: string; act?: unknown };
  return below === undefined ? [sub] : [sub, ...actorsOf(below)];
}

function codeOf(text: string): string {
  try {
    return String((JSON.parse(text) as { code?: unknown }).code);
  } catch {
    return 'unreadable';
  }
}
