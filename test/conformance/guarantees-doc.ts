import type { Measured } from '../bench/harness.ts';

export type Figures = {
  machine: { cpu: string; cores: number; node: string };
  at: string;
  load: number[];
  results: Measured[];
};

/** Cases of the bench that `docs/guarantees.md` shows, by the promise that they measure. */
const SHOWN = /^(revoke|reconnect|catch-up|consume)-/;

/** Writes measured figures into the page, between its marks. The words around them stay. */
export function withFigures(page: string, { machine, at, load, results }: Figures): string {
  const shown = results.filter(({ name }) => SHOWN.test(name));
  const rows = shown.map(
    ({ name, subject, baseline, ratio, targetRatio }) =>
      `| \`${name}\` | ${ms(subject.p50Us)} | ${ms(subject.p99Us)} | ${ms(subject.p999Us)} | ${ms(baseline.p50Us)} | ${ratio} × | ${targetRatio === null ? '' : `≤ ${targetRatio} ×`} | ${subject.operations} |`,
  );
  const figures = [
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${at.slice(0, 10)}, load ${load.map((each) => each.toFixed(1)).join(' ')} before. Milliseconds. A p999 of fewer than 1,000 samples is their maximum.`,
    '',
    '| case | p50 | p99 | p999 | baseline p50 | ratio | target | samples |',
    '|---|---|---|---|---|---|---|---|',
    ...rows,
    '',
    ...shown.map(
      ({ name, says, baselineSays }) => `- \`${name}\`: ${says}; baseline: ${baselineSays}.`,
    ),
  ].join('\n');
  return between(between(page, 'figures', figures), 'paper', onPaper(shown));
}

function onPaper(results: readonly Measured[]): string {
  const find = (name: string) => results.find((each) => each.name === name);
  const one = find('revoke-0001');
  const thousand = find('revoke-1000');
  if (!one || !thousand) return 'Not computed: `revoke-0001` and `revoke-1000` were not measured.';
  const of = (which: 'p50Us' | 'p99Us') =>
    ms(one.subject[which] + thousand.baseline[which] * 10 - one.baseline[which]);
  return `With the figures above: p50 about ${of('p50Us')} ms, p99 about ${of('p99Us')} ms after the acknowledgement.`;
}

function between(page: string, mark: string, text: string): string {
  const [open, close] = [`<!-- ${mark} -->`, `<!-- /${mark} -->`];
  const from = page.indexOf(open);
  const to = page.indexOf(close);
  if (from < 0 || to < from) throw new Error(`the page has no place for ${mark}`);
  return `${page.slice(0, from + open.length)}\n${text}\n${page.slice(to)}`;
}

const ms = (us: number): string => {
  const value = us / 1_000;
  return value < 10 ? value.toFixed(2) : value.toFixed(0);
};
