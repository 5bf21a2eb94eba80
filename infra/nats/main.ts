import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type BusMembers, natsConfig } from './config.ts';
import { seedFiles } from './seeds.ts';

const USAGE = `node infra/nats/main.ts --out DIR [--peps TENANT/PEP,...] [--siems NAME,...]
     [--auditors NAME,...]

Writes DIR/nats.json, the accounts and permissions of the bus, and one nkey seed per user below
DIR/seeds, all 0600. Seeds that exist are kept: to add a tenant, a PEP or a SIEM, run it again with
the longer list and send SIGHUP to nats-server twice: the first lets new users in, the second links
what their accounts import. No connection is dropped.`;

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    peps: { type: 'string', default: '' },
    siems: { type: 'string', default: '' },
    auditors: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help || values.out === undefined) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(values.help ? 0 : 2);
}

const members: BusMembers = {
  tenants: byTenant(list(values.peps)),
  siems: list(values.siems),
  auditors: list(values.auditors),
};
mkdirSync(values.out, { recursive: true, mode: 0o700 });
const config = natsConfig(members, seedFiles(join(values.out, 'seeds')));
// Written beside and moved, so that a server never reads half of it.
const file = join(values.out, 'nats.json');
writeFileSync(`${file}.new`, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
renameSync(`${file}.new`, file);

function list(text: string): string[] {
  return text.split(',').filter((item) => item !== '');
}

function byTenant(peps: string[]): { tenant: string; peps: string[] }[] {
  const tenants = new Map<string, string[]>();
  for (const each of peps) {
    const [tenant, pep, ...rest] = each.split('/');
    if (!tenant || !pep || rest.length > 0) {
      process.stderr.write(`${each} is not TENANT/PEP\n`);
      process.exit(2);
    }
    tenants.set(tenant, [...(tenants.get(tenant) ?? []), pep]);
  }
  return [...tenants].map(([tenant, names]) => ({ tenant, peps: names }));
}
