import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SERVICES } from '@remit/contracts';
import { StackError } from '../error.ts';
import { assertPortFree, freePort } from '../net/ports.ts';
import { reachableByOthers } from '../servers/postgres.ts';

/** Ports of a stack that stays: base + offset. Extras follow from 11 in their order. */
const PORT_BASE = 7400;
const OFFSETS: Record<string, number> = {
  issuer: 1,
  pdp: 2,
  revocation: 3,
  audit: 4,
  registry: 5,
  nats: 22,
  postgres: 32,
};
const FIRST_EXTRA = 11;

/** What is decided before anything starts: where everything lies and listens. */
export type StackPlan = {
  readonly dir: string;
  /** The data folder's parent of PostgreSQL; elsewhere when `nobody` can't reach `dir`. */
  readonly postgresDir: string;
  /** The stack's folders go with it. */
  readonly temporary: boolean;
  port(name: string): number;
  /** `http://127.0.0.1:<port>` */
  url(name: string): string;
  path(...parts: string[]): string;
};

/**
 * Chooses folder and ports. Without `dir` the stack lives in a temporary folder. With `ports: 'fixed'`
 * they are the documented ones, checked to be free before anything is touched.
 * Throws StackError `PORT_TAKEN`.
 */
export async function planStack(options: {
  dir?: string;
  ports: 'fixed' | 'free';
  extras: readonly string[];
  /** Whose ports may be taken: somebody else runs them. */
  without: readonly string[];
}): Promise<StackPlan> {
  const names = [...SERVICES, 'nats', 'postgres', ...options.extras];
  const ports = new Map<string, number>();
  for (const name of names) {
    ports.set(name, options.ports === 'free' ? await freePort() : fixedPort(name, options.extras));
  }
  if (options.ports === 'fixed') {
    for (const [name, port] of ports) {
      if (!options.without.includes(name)) await assertPortFree(port, name);
    }
  }
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'remit-stack-'));
  mkdirSync(dir, { recursive: true });
  // Others may pass, to reach what is theirs, but not look: secrets below are 0600 in 0700 folders.
  if (options.dir === undefined) chmodSync(dir, 0o711);
  const port = (name: string): number => {
    const found = ports.get(name);
    if (found === undefined) throw new RangeError(`${name} is not part of this stack`);
    return found;
  };
  return {
    dir,
    postgresDir: postgresDirFor(dir),
    temporary: options.dir === undefined,
    port,
    url: (name) => `http://127.0.0.1:${port(name)}`,
    path: (...parts) => join(dir, ...parts),
  };
}

/** Removes everything that a stack in `dir` has kept. The stack must not run. */
export function removeStack(dir: string): void {
  for (const each of [postgresDirFor(dir), dir]) {
    rmSync(each, { recursive: true, force: true, maxRetries: 3 });
  }
}

/**
 * As root PostgreSQL runs as `nobody`, which can't reach a checkout below /root. Its data then lies in
 * /var/tmp, in a folder named after the checkout.
 */
function postgresDirFor(dir: string): string {
  if (process.getuid?.() !== 0 || reachableByOthers(dir)) return join(dir, 'postgres');
  const name = createHash('sha256').update(dir).digest('hex').slice(0, 12);
  const elsewhere = join('/var/tmp', `remit-${name}`);
  mkdirSync(elsewhere, { recursive: true, mode: 0o711 });
  if (statSync(elsewhere).uid !== 0) {
    throw new StackError(
      'CONFIG_INVALID',
      `${elsewhere} belongs to somebody else: remove it, or move the checkout out of a private folder, and run the command again.`,
    );
  }
  return elsewhere;
}

function fixedPort(name: string, extras: readonly string[]): number {
  const offset = OFFSETS[name] ?? FIRST_EXTRA + extras.indexOf(name);
  return PORT_BASE + offset;
}
