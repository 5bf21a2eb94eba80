import { parseArgs } from 'node:util';
import { prepareDeployment } from './deployment.ts';

const USAGE = `node infra/init/main.ts --state DIR --out DIR --issuer-url URL --tenants T,... [--peps T/PEP,...]
  [--siems NAME,...] [--databases NAME,...] [--postgres HOST:PORT/DATABASE] [--checkpoint-origin NAME]

Makes what a deployment needs before its first start: keys, trust file, accounts of the bus, roles of
the database. DIR of --state keeps all of it for the next call; below DIR of --out each process finds
what it needs and nothing else. What exists is kept; longer lists add.`;

const { values } = parseArgs({
  options: {
    state: { type: 'string' },
    out: { type: 'string' },
    'issuer-url': { type: 'string' },
    tenants: { type: 'string' },
    peps: { type: 'string', default: '' },
    siems: { type: 'string', default: '' },
    databases: { type: 'string', default: '' },
    postgres: { type: 'string', default: 'postgres:5432/remit' },
    'checkpoint-origin': { type: 'string', default: 'remit.local' },
    help: { type: 'boolean', default: false },
  },
});
const { state, out, tenants, 'issuer-url': issuerUrl } = values;
const place = /^([a-z0-9.-]+):(\d{1,5})\/([a-z][a-z0-9_]*)$/.exec(values.postgres);

if (values.help || !state || !out || !tenants || !issuerUrl || !place) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(values.help ? 0 : 2);
}
const list = (text: string): string[] => text.split(',').filter((item) => item !== '');
await prepareDeployment({
  stateDir: state,
  outDir: out,
  issuerUrl,
  tenants: list(tenants),
  peps: list(values.peps),
  siems: list(values.siems),
  databases: list(values.databases),
  postgres: { host: place[1] as string, port: Number(place[2]), database: place[3] as string },
  checkpointOrigin: values['checkpoint-origin'],
});
process.stdout.write(`init: ${list(tenants).join(', ')} prepared\n`);
