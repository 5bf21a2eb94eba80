import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { storyOf, withTranscript } from './transcript.ts';

/** Runs the demo and writes what it printed into README.md. Fails when the demo does. */
const root = join(import.meta.dirname, '../..');
const printed = execFileSync(
  process.execPath,
  ['--disable-warning=ExperimentalWarning', join(root, 'demo/story.ts')],
  { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
);
const readme = join(root, 'README.md');
writeFileSync(readme, withTranscript(readFileSync(readme, 'utf8'), storyOf(printed)));
