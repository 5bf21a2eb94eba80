import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { algebra } from './cases/algebra.ts';
import { consumptions } from './cases/consume.ts';
import { decisions } from './cases/decision.ts';
import { guarded } from './cases/guard.ts';
import { issuances } from './cases/issuance.ts';
import { closeLedger, ledgers } from './cases/ledger.ts';
import { links } from './cases/links.ts';
import { peers } from './cases/peers.ts';
import { pepChecks } from './cases/pep-check.ts';
import { revocations } from './cases/revoke.ts';
import { views } from './cases/view.ts';
import { type Bench, type Measured, machine, measure, table } from './harness.ts';

const benches: readonly Bench[] = [
  ...pepChecks,
  ...links,
  ...guarded,
  ...issuances,
  ...peers,
  ...consumptions,
  ...decisions,
  ...revocations,
  ...ledgers,
  ...algebra,
  ...views,
];

const { values, positionals } = parseArgs({
  options: { json: { type: 'string' } },
  allowPositionals: true,
});
const wanted = benches.filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);
if (wanted.length === 0) {
  process.stderr.write(
    `There is no case ${positionals.join(' ')}. The cases are ${benches.map(({ name }) => name).join(', ')}.\n`,
  );
  process.exit(2);
}

const load = loadavg();
const results: Measured[] = [];
for (const bench of wanted) {
  process.stderr.write(`${bench.name}: ${bench.says}; against ${bench.baselineSays}\n`);
  results.push(await measure(bench));
}
await closeLedger();
const on = machine();
process.stdout.write(
  `\n${table(results)}\n\n${on.cpu}, ${on.cores} cores, Node ${on.node}, OpenSSL ${on.openssl}\n`,
);
if (values.json)
  writeFileSync(
    values.json,
    `${JSON.stringify({ machine: on, load, at: new Date().toISOString(), results }, null, 2)}\n`,
  );
