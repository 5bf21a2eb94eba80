import { readFileSync } from 'node:fs';

// Loaded with `--import` before a program of the stack: its wall clock is that of the machine plus what
// the file says, in milliseconds. Monotonic clocks stay. The product has no such switch.
const file = process.env['FAULTS_CLOCK_FILE'];
if (file === undefined) throw new Error('FAULTS_CLOCK_FILE is not set');

const RealDate = Date;
const realNow = Date.now;
let offsetMs = 0;

const now = (): number => realNow() + offsetMs;
// oxlint-disable-next-line no-global-assign -- what this program is for
Date = new Proxy(RealDate, {
  construct: (target, args: [], newTarget: new () => object) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
  apply: () => new RealDate(now()).toString(),
  get: (target, name, receiver) => (name === 'now' ? now : Reflect.get(target, name, receiver)),
});

const LOOK_EVERY_MS = 50;
setInterval(() => {
  try {
    offsetMs = Number(readFileSync(file, 'utf8'));
  } catch {
    offsetMs = 0;
  }
}, LOOK_EVERY_MS).unref();
