import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createLogger, loadConfig } from '@remit/service-kit';
import { build } from './app.ts';
import { pdpConfig } from './config.ts';
import { PdpError } from './errors.ts';
import { readPolicyFolders } from './policies/folders.ts';

// Loads policy folders as versions and activates them, through the same upload as over HTTP. Runs with
// the pdp's own environment, beside a running pdp or without one. Loading the same files again changes
// nothing.

const { values } = parseArgs({ options: { dir: { type: 'string' } } });
if (values.dir === undefined) {
  process.stderr.write('pdp: load needs --dir, a folder with one folder per tenant.\n');
  process.exit(78);
}
const folders = readPolicyFolders(values.dir);
const { config } = loadConfig(pdpConfig, process.env);
const log = createLogger({ service: 'pdp', instance: 'load', level: 'warn' });
// A spool belongs to one process; the running pdp has the folder above.
const spoolDir = join(config.spoolDir, 'load');
const app = await build({ ...config, spoolDir }, { log, instance: 'load' });
try {
  for (const { tenant, files } of folders) {
    const made = await app.policies.upload({
      tenant,
      author: 'load',
      message: 'Loaded from a folder',
      files,
    });
    await app.policies.activate({ tenant, version: made.version, by: 'load' });
    process.stdout.write(
      `${tenant}: version ${made.number}${made.created ? '' : ' (unchanged)'}, ${made.policies} policies, ${made.tests} tests passed\n`,
    );
  }
} catch (error) {
  process.exitCode = 1;
  process.stderr.write(`pdp: ${describe(error)}\n`);
} finally {
  await app.stop();
}

function describe(error: unknown): string {
  if (!(error instanceof PdpError) || error.code !== 'POLICY_INVALID') {
    return error instanceof Error ? error.message : String(error);
  }
  const problems = error.details.problems as {
    file: string;
    line: number;
    column: number;
    message: string;
  }[];
  const lines = problems.map((one) => `  ${one.file}:${one.line}:${one.column} ${one.message}`);
  return `${error.message}\n${lines.join('\n')}`;
}
