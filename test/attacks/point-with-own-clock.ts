import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createPep, type PepOptions } from '@remit/pep';
import { AUDIENCE, serve } from './points.ts';

// An enforcement point as a process of its own, whose wall clock is as far off as it is told to be:
// each line of standard input is a number of hours. Ends with its input.

const { keys, ...options } = JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as Pick<
  PepOptions,
  'trust' | 'nats' | 'spoolDir'
> & { keys: object[] };

let offMs = 0;
const now = Date.now.bind(Date);
Date.now = () => now() + offMs;
globalThis.Date = new Proxy(Date, {
  construct: (target, args, self: () => unknown) =>
    Reflect.construct(target, args.length === 0 ? [Date.now()] : args, self) as object,
});

const pep = await createPep({
  ...options,
  tenant: 'acme',
  audience: AUDIENCE,
  fetch: async () => Response.json({ keys }),
});
const { url, close } = await serve(pep);
process.stdout.write(`${url}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  offMs = Number(line) * 3_600_000;
  process.stdout.write(`${new Date().toISOString()}\n`);
}
await close();
await pep.close();
