import { styleText } from 'node:util';
import type { Capability } from '@remit/agent';
import { readCapability } from '@remit/capability/token';
import { permissionInWords } from '@remit/cli';
import { isReason, REASONS } from '@remit/contracts';
import { columns, TEXT_AT, wrap } from './columns.ts';
import type { Fact, Outcome, Step, StepResult } from './steps/step.ts';
import type { LedgerLine } from './world.ts';

type Style = Parameters<typeof styleText>[0];

/** Tells the story on one stream, so that a person can follow. */
export type Narrator = {
  progress(line: string): void;
  step(step: Step, number: number): void;
  /** What a token says, in words. */
  token(capability: Capability): void;
  /** A line of the ledger. */
  line(line: LedgerLine): void;
  /** Lines of what was found, under a word of at most seven letters. */
  text(label: string, lines: string[]): void;
  verdict(step: Step, result: StepResult, ms: number): void;
  end(lines: string[]): void;
};

const COLOUR = {
  allow: 'green',
  deny: 'yellow',
  refused: 'yellow',
  found: 'cyan',
  error: 'red',
} as const satisfies Record<Outcome | 'error', Style>;

/** Writes to `out`; colours only where a person looks (a terminal without NO_COLOR). */
export function createNarrator(out: NodeJS.WriteStream): Narrator {
  const colour = out.isTTY && process.env['NO_COLOR'] === undefined;
  const paint = (style: Style, text: string) =>
    colour ? styleText(style, text, { validateStream: false }) : text;
  const print = (line = '') => void out.write(`${line}\n`);
  const labelled = (label: string, lines: string[], style: Style) => {
    for (const line of columns(label, lines)) print(paint(style, line));
  };
  const mark = ({ what, ok }: Fact) =>
    ok ? `${paint('green', '✓')} ${what}` : paint('red', `✗ ${what}`);

  return {
    progress: (line) => print(paint('dim', `· ${line}`)),
    step(step, number) {
      print();
      print(paint('bold', `${String(number).padStart(2)}  ${step.title}`));
      for (const line of wrap(step.scene.join(' '), { indent: 4 })) print(line);
    },
    token(capability) {
      const said = readCapability(payloadOf(capability.token));
      const minutes = Math.round((said.expiresAt - said.issuedAt) / 60);
      const holder = said.actors.length === 1 ? 'the agent’s' : `${said.actors.at(-1)}’s`;
      labelled(
        'token',
        [
          ...said.scope.permissions.map(permissionInWords),
          [
            `${said.task.type} for ${said.subject} by ${said.actors.join(' → ')}`,
            `${minutes} ${minutes === 1 ? 'minute' : 'minutes'}`,
            ...(said.confirmation ? [`bound to ${holder} key`] : []),
            ...(said.singleUse ? ['single use'] : []),
          ].join(' · '),
        ],
        'cyan',
      );
    },
    text: (label, lines) => labelled(label, lines, 'dim'),
    line({ record, user, decision }) {
      const who = [user ?? '–', ...(record.act_chain ?? [])].join(' → ');
      const what = `${record.operation?.action} ${record.operation?.resource}`;
      const at = record.time.slice(11, 19);
      labelled(
        'ledger',
        [`${at}  ${decision?.padEnd(5)}  ${who}  ${what}  ${record.reason}`],
        'dim',
      );
    },
    verdict(step, result, ms) {
      for (const { of, facts } of grouped(result.facts)) {
        const [label = '', ...what] = of?.split(' ') ?? [];
        if (of) print(columns(label, [what.join(' ')]).join('\n'));
        for (const line of wrap('', { parts: facts.map(mark), indent: TEXT_AT })) print(line);
      }
      const held = result.actual === step.expected && result.facts.every(({ ok }) => ok);
      const expected = result.actual === step.expected ? '' : ` (expected ${step.expected})`;
      const why = [result.reason, result.because ?? sentenceOf(result.reason)].filter(Boolean);
      const lines = columns(result.actual.toUpperCase(), [
        `${why.join(': ')}${expected} · ${Math.round(ms)} ms`,
      ]);
      for (const line of lines) print(paint(['bold', held ? COLOUR[result.actual] : 'red'], line));
    },
    end(lines) {
      print();
      for (const line of lines) print(paint('bold', line));
    },
  };
}

/** What everybody who holds a token can read in it. Nothing is verified: the ERP does that. */
function payloadOf(token: string): unknown {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
}

/** Facts in a row about one call or request, or about none, together. */
function grouped(facts: readonly Fact[]): { of: string | undefined; facts: Fact[] }[] {
  const groups: { of: string | undefined; facts: Fact[] }[] = [];
  for (const fact of facts) {
    const last = groups.at(-1);
    if (!last || fact.of !== last.of || fact.first) groups.push({ of: fact.of, facts: [fact] });
    else last.facts.push(fact);
  }
  return groups;
}

function sentenceOf(reason: string): string | undefined {
  return isReason(reason) ? REASONS[reason] : undefined;
}
