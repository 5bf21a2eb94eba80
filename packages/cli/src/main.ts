#!/usr/bin/env node
import { Command } from 'commander';
import { call, explainError, login, proof, record, token } from './dev/commands.ts';
import { readDevFile } from './dev/dev-file.ts';
import { CliError } from './error.ts';
import { addPolicyVerbs } from './policy/verbs.ts';
import { recordLine } from './tail/line.ts';
import { tail } from './tail/tail.ts';
import { type VerifyOptions, verify } from './verify/verify.ts';
import { runWitness } from './witness/run.ts';

const dev = () => readDevFile(process.cwd());
const print = (text: string) => void process.stdout.write(`${text}\n`);
const warn = (text: string) => void process.stderr.write(`${text}\n`);
const collect = (value: string, before: string[]) => [...before, value];

const untilStopped = (): AbortSignal => {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  process.once('SIGTERM', () => stop.abort());
  return stop.signal;
};

const program = new Command('remit').description('Work with a running Remit.').showHelpAfterError();

program
  .command('tail')
  .description('one line per record, as it happens')
  .option('--json', 'the records as they are on the bus')
  .action(async (options: { json?: boolean }) => {
    const colour = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
    const show = options.json
      ? JSON.stringify
      : (message: Parameters<typeof recordLine>[0]) => recordLine(message, { colour });
    await tail(dev(), (message) => print(show(message)), untilStopped());
  });

program
  .command('verify <file>')
  .description('verify an export of the ledger: needs no service, only keys that you trust')
  .requiredOption('--trust <file>', 'a trust file, or verifier keys one per line')
  .option('--checkpoint <file>', 'a checkpoint that you have from elsewhere', collect, [])
  .option('--origin <name>', 'the log that it must be; default: what the export says')
  .option('--witnessed', 'a witness among the keys must have cosigned')
  .action(async (file: string, options: VerifyOptions) => {
    const { ok, text } = await verify(file, options);
    print(text);
    if (!ok) process.exitCode = 1;
  });

program
  .command('witness')
  .description('cosign the checkpoints of logs, and refuse whatever goes back (C2SP tlog-witness)')
  .requiredOption('--name <name>', 'how the witness is called: a URL without its scheme')
  .requiredOption('--key <file>', 'its private keys; made when the file is missing')
  .requiredOption('--logs <file>', 'verifier keys of the logs, one per line')
  .requiredOption('--state <folder>', 'where it remembers what it cosigned last')
  .option('--host <address>', 'where it listens', '127.0.0.1')
  .option('--port <number>', 'where it listens', '7790')
  .action(
    async ({
      port,
      ...options
    }: Record<'host' | 'key' | 'logs' | 'name' | 'port' | 'state', string>) =>
      runWitness({ ...options, port: Number(port) }, print, untilStopped()),
  );

addPolicyVerbs(program, { dev, print });

const devVerbs = program.command('dev').description('drive the development stack by hand');
devVerbs
  .command('login <user>')
  .description('print an ID token, or with --service an access token for that service')
  .option('--service <name>', 'issuer, pdp, revocation, audit or registry')
  .action(async (user: string, options: { service?: string }) =>
    print(await login(dev(), { user, ...options })),
  );
devVerbs
  .command('token <user> <task>')
  .description('print a capability token for a task')
  .option('--agent <id>', 'the agent that asks', 'procurement-agent')
  .option('--slot <name=value>', 'fill a slot of the task type', collect, [])
  .action(async (user: string, task: string, options: { agent: string; slot: string[] }) =>
    print(await token(dev(), { user, task, agent: options.agent, slots: options.slot })),
  );
devVerbs
  .command('proof <method> <url>')
  .description('print a DPoP proof for one request with the last token')
  .option('--token <token>', 'another token')
  .action(async (method: string, url: string, options: { token?: string }) =>
    print(await proof(dev(), { method, url, ...options })),
  );
devVerbs
  .command('call <user> <method> <path> [json]')
  .description('start a task and make one call to the demo ERP')
  .option('--agent <id>', 'the agent that calls', 'procurement-agent')
  .option('--task <type>', 'the task type; default: the one that fits the path')
  .option('--slot <name=value>', 'fill a slot of the task type', collect, [])
  .action(
    async (
      user: string,
      method: string,
      path: string,
      json: string | undefined,
      options: { agent: string; task?: string; slot: string[] },
    ) => {
      const { slot: slots, ...rest } = options;
      print(
        await call(dev(), {
          user,
          method,
          path,
          slots,
          explained: warn,
          ...rest,
          ...(json === undefined ? {} : { json }),
        }),
      );
    },
  );
devVerbs
  .command('record <id>')
  .description('print what the ledger holds for a decision')
  .option('--auditor <user>', 'who asks', 'erin')
  .action(async (id: string, options: { auditor: string }) =>
    print(await record(dev(), { id, ...options })),
  );

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = error instanceof CliError && error.code === 'USAGE' ? 2 : 1;
  const said = (await explainRefusal(error)) ?? sentence(error);
  const code = error instanceof CliError ? error.code : 'FAILED';
  warn(process.argv.includes('--json') ? JSON.stringify({ error: { code, message: said } }) : said);
}

/** Why the issuer refused; undefined for every other error. */
async function explainRefusal(error: unknown): Promise<string | undefined> {
  try {
    return await explainError(dev(), error);
  } catch {
    return undefined;
  }
}

/** What happened, in one sentence; the code of the SDKs comes along, a stack never does. */
function sentence(error: unknown): string {
  if (error instanceof CliError) return error.message;
  if (error instanceof Error) {
    const { code, refusal } = error as { code?: string; refusal?: object };
    return `${error.message}${code ? ` (${code})` : ''}${refusal ? ` ${JSON.stringify(refusal)}` : ''}`;
  }
  return String(error);
}
