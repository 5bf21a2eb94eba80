import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { allRoles, type RolePasswords, rolesSql, schemasSql } from './roles.ts';

const USAGE = `node infra/postgres/main.ts --out DIR

Writes DIR/passwords.json (role → password), DIR/roles.sql (run once per cluster, as superuser) and
DIR/schemas.sql (run in each database, as superuser), all 0600. Passwords that exist are kept; the
scripts may run again.`;

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help || values.out === undefined) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(values.help ? 0 : 2);
}

mkdirSync(values.out, { recursive: true, mode: 0o700 });
const passwordFile = join(values.out, 'passwords.json');
const known: RolePasswords = existsSync(passwordFile)
  ? JSON.parse(readFileSync(passwordFile, 'utf8'))
  : {};
const passwords = Object.fromEntries(
  allRoles().map((role) => [role, known[role] ?? randomBytes(24).toString('base64url')]),
);
write('passwords.json', `${JSON.stringify(passwords, null, 2)}\n`);
write('roles.sql', rolesSql(passwords));
write('schemas.sql', schemasSql());

function write(name: string, content: string): void {
  writeFileSync(join(values.out as string, name), content, { mode: 0o600 });
}
