import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createUser, fromSeed } from '@nats-io/nkeys';
import type { PublicNkey, UserRef } from './config.ts';

/**
 * The nkey seeds of all users, one file each (0600) below `dir`. A seed that exists is kept, so that a
 * configuration can be written again with more users while the known ones stay connected.
 */
export function seedFiles(dir: string): PublicNkey {
  return (ref) => {
    const file = join(dir, seedFile(ref));
    if (existsSync(file)) return fromSeed(readFileSync(file)).getPublicKey();
    const pair = createUser();
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, pair.getSeed(), { mode: 0o600, flag: 'wx' });
    return pair.getPublicKey();
  };
}

/** Where a user's seed lies: `<account>/<user>.seed`. */
function seedFile(ref: UserRef): string {
  return join(ref.account, `${ref.user}.seed`);
}
