#!/usr/bin/env node
// Entry of every npm script: brings what the workspace needs, then runs one verb with Node 24.
// Runs on any Node >= 18, so it is plain JavaScript; everything that it says goes to stderr.
const verb = process.argv[2] || '';
const args = process.argv.slice(3);

const nodeMajor = Number(process.versions.node.split('.')[0]);
if (nodeMajor < 18) {
  process.stderr.write(
    `remit: Node ${process.versions.node} is too old to start this; install Node 18 or newer (24 is best, https://nodejs.org) and run the command again.\n`,
  );
  process.exit(1);
}

const { spawn } = await import('node:child_process');
const { existsSync, readFileSync } = await import('node:fs');
const { constants } = await import('node:os');
const { dirname, join, relative } = await import('node:path');
const { fileURLToPath } = await import('node:url');
const { Plain, prepare } = await import('./tools/bootstrap.mjs');

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = (name) => join(root, 'node_modules', '.bin', name);
const script = (file) => ['--disable-warning=ExperimentalWarning', join(root, file)];

/** verb → the programs it runs, one after the other; `node` stands for the Node 24 that was brought. */
const verbs = {
  demo: () => [['node', ...script('demo/story.ts'), ...args]],
  start: () => [['node', ...script('demo/start.ts'), ...args]],
  tail: () => [['node', ...script('packages/cli/src/main.ts'), 'tail', ...args]],
  dev: () => [['node', ...script('packages/cli/src/main.ts'), 'dev', ...args]],
  remit: () => [['node', ...script('packages/cli/src/main.ts'), ...args]],
  bench: () => [['node', ...script('test/bench/main.ts'), ...args]],
  fuzz: () => [['node', ...script('test/fuzz/main.ts'), ...args]],
  faults: () => [['node', ...script('test/faults/main.ts'), ...args]],
  pack: () => [['node', ...script('scripts/tools/pack.mjs'), ...args]],
  test: () => [[bin('vitest'), 'run', ...args]],
  check: () => checkSteps(args),
};

const checks = {
  types: [bin('tsc'), '--noEmit', '-p', 'tsconfig.json'],
  lint: [bin('oxlint'), '--type-aware'],
  format: [bin('biome'), 'ci', ...(process.stdout.isTTY ? [] : ['--colors=off'])],
  unused: [bin('knip')],
  architecture: [bin('vitest'), 'run', 'test/architecture'],
};

function checkSteps(names) {
  const wanted = names.length > 0 ? names : Object.keys(checks);
  const unknown = wanted.find((name) => !Object.hasOwn(checks, name));
  if (unknown !== undefined) {
    throw new Plain(
      `there is no check "${unknown}"; the checks are ${Object.keys(checks).join(', ')}.`,
    );
  }
  return wanted.map((name) => checks[name]);
}

const say = (line) => process.stderr.write(`remit: ${line}\n`);

// The child in hand and whether we were asked to stop. One asked-for stop is forwarded once.
let child;
let stopSignal;
let stoppedAt = 0;

function stop(signal, { forward }) {
  const first = stopSignal === undefined;
  if (!first && Date.now() - stoppedAt < 1000) return;
  stopSignal ??= signal;
  stoppedAt = Date.now();
  if (child && forward) child.kill(signal);
  if (first) setTimeout(() => child?.kill('SIGKILL'), 30_000).unref();
}

// A terminal sends Ctrl-C to the whole foreground group: the child has it already.
process.on('SIGINT', () => stop('SIGINT', { forward: !process.stdin.isTTY }));
process.on('SIGTERM', () => stop('SIGTERM', { forward: true }));
process.on('SIGHUP', () => stop('SIGHUP', { forward: true }));
process.stderr.on('error', () => {});

// SIGTERM to npm kills npm alone. So we look whether those above us are still the same.
const ancestorsAtStart = ancestors();
setInterval(() => {
  if (ancestors() !== ancestorsAtStart && stopSignal === undefined)
    stop('SIGTERM', { forward: true });
}, 500).unref();

/** Our parent and, when that is a shell that npm put between, its parent. */
function ancestors() {
  const parent = process.ppid;
  try {
    const stat = readFileSync(`/proc/${parent}/stat`, 'utf8');
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    const grandparent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
    return name === 'sh' || name === 'dash' ? `${parent},${grandparent}` : `${parent}`;
  } catch {
    return `${parent}`;
  }
}

/** Runs one program to its end. `quiet` sends its stdout to stderr and keeps what it said for diagnosis. */
function run([command, ...rest], { env = process.env, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    if (stopSignal !== undefined)
      return resolve({ code: 128 + constants.signals[stopSignal], said: '' });
    const stdio = quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit';
    const started = spawn(command, rest, { cwd: root, env, stdio });
    child = started;
    let said = '';
    const keep = (chunk) => {
      said = (said + chunk).slice(-20_000);
      process.stderr.write(chunk);
    };
    started.stdout?.on('data', keep);
    started.stderr?.on('data', keep);
    started.on('error', (error) => {
      child = undefined;
      reject(error);
    });
    started.on('close', (code, signal) => {
      child = undefined;
      resolve({ code: code ?? 128 + (constants.signals[signal] ?? 0), said });
    });
  });
}

try {
  if (!Object.hasOwn(verbs, verb)) {
    throw new Plain(
      `there is no command "${verb}"; the commands are ${Object.keys(verbs).join(', ')}.`,
    );
  }
  const programs = verbs[verb]();
  const { node, env } = await prepare({ root, run, say });
  let exitCode = 0;
  for (const [command, ...rest] of programs) {
    const target = command === 'node' ? rest[1] : command;
    if (!existsSync(target))
      throw new Plain(`${relative(root, target)} is missing in this checkout.`);
    const { code } = await run([command === 'node' ? node : command, ...rest], { env });
    if (stopSignal !== undefined) process.exit(code);
    if (code !== 0 && programs.length > 1) say(`${relative(root, target)} failed with ${code}.`);
    exitCode ||= code;
  }
  process.exit(exitCode);
} catch (error) {
  if (stopSignal !== undefined) process.exit(128 + constants.signals[stopSignal]);
  say(error instanceof Plain ? error.message : `unexpected: ${error?.stack ?? error}`);
  process.exit(1);
}
