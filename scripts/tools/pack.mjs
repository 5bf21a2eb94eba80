// Builds the packages that others install (the PEP, the agent SDK, and what they need) and packs each
// into a tarball, as it would be published. Prints the tarballs, one per line; all else goes to stderr.
// Usage: npm run -s pack [-- DIR], by default `dist`. Plain JavaScript for any Node >= 18.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const tools = dirname(fileURLToPath(import.meta.url));
const root = join(tools, '..', '..');
const out = resolve(process.argv[2] ?? join(root, 'dist'));
const built = mkdtempSync(join(tmpdir(), 'remit-build-'));
process.exitCode = pack();
rmSync(built, { recursive: true, force: true });

function pack() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const build = run([tsc, '-p', 'tsconfig.build.json', '--outDir', built], root);
  if (build.status !== 0) return fail('the packages could not be built', build.stdout);
  mkdirSync(out, { recursive: true });
  for (const name of readdirSync(built)) {
    const folder = join(root, 'packages', name);
    rmSync(join(folder, 'dist'), { recursive: true, force: true });
    cpSync(join(built, name, 'src'), join(folder, 'dist'), { recursive: true });
    // pnpm writes versions for `workspace:` and `catalog:`, and `publishConfig.exports` for `exports`.
    const pnpm = join(tools, 'node_modules', 'pnpm', 'bin', 'pnpm.cjs');
    const packed = run([pnpm, 'pack', '--json', '--pack-destination', out], folder);
    if (packed.status !== 0) return fail(`${name} could not be packed`, packed.stdout);
    process.stdout.write(`${JSON.parse(packed.stdout).filename}\n`);
  }
  return 0;
}

function run(args, cwd) {
  const stdio = ['ignore', 'pipe', 'inherit'];
  return spawnSync(process.execPath, args, { cwd, stdio, encoding: 'utf8' });
}

function fail(what, said) {
  process.stderr.write(`${said}\nremit: ${what}.\n`);
  return 1;
}
