import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const BEGIN = '<!-- transcript: written by node test/conformance/write-transcript.ts -->';
const END = '<!-- /transcript -->';

/** What differs from run to run, and what stands for it. */
const VOLATILE: readonly [RegExp, string][] = [
  [/\b\d\d:\d\d:\d\d\b/g, '…'],
  [/\b\d+(\.\d+)? (m?s)\b/g, '… $2'],
  [/\b\d+ records\b/g, '… records'],
  [/\brecord \d+\b/g, 'record …'],
  [/\bat call \d+ and \d+\b/g, 'at call … and …'],
  [/\b(task_[\w-]{22}|[0-9a-f]{8}-[0-9a-f-]{27})(?![\w-])/g, '…'],
  [/127\.0\.0\.1:\d+/g, '127.0.0.1:…'],
];

/**
 * The story as `npm run demo` prints it, from the first step to the figures, with whatever differs
 * from run to run masked. Lines of progress come before, and whatever else a stream carried.
 */
export function storyOf(printed: string): string {
  const lines = printed.split('\n').map((line) => line.trimEnd());
  const begin = lines.findIndex((line) => /^ 1 {2}\S/.test(line));
  const end = lines.findLastIndex((line) => / steps as expected /.test(line));
  if (begin < 0 || end < begin) throw new Error('no story was printed');
  const story = lines.slice(begin, end + 1).join('\n');
  return VOLATILE.reduce((text, [found, mask]) => text.replaceAll(found, mask), story);
}

/** A story without its line breaks, which move with the lengths of what is masked. */
export function flat(story: string): string {
  return story.replace(/\s+/g, ' ').trim();
}

/** The transcript in README.md. */
export function readTranscript(root: string): string {
  const [, section = ''] = readFileSync(join(root, 'README.md'), 'utf8').split(BEGIN);
  return /^```text\n([\s\S]*)\n```$/.exec(section.split(END)[0]?.trim() ?? '')?.[1] ?? '';
}

/** README.md with another transcript. */
export function withTranscript(readme: string, story: string): string {
  const [before, rest = ''] = readme.split(BEGIN);
  return `${before}${BEGIN}\n\`\`\`text\n${story}\n\`\`\`\n${END}${rest.split(END)[1] ?? ''}`;
}
