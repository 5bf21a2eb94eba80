import { styleText } from 'node:util';
import type { Capability } from '@remit/agent';
import type { Step, StepResult } from './steps/step.ts';
import type { LedgerLine } from './world.ts';

type Style = Parameters<typeof styleText>[0];

/** Tells the story on one stream, so that a person can follow. */
export type Narrator = {
  progress(line: string): void;
  step(step: Step): void;
  /** What a token says, in words. */
  token(capability: Capability): void;
  /** A line of the ledger. */
  line(line: LedgerLine): void;
  /** A line of what was found. */
  text(line: string): void;
  verdict(step: Step, result: StepResult, ms: number): void;
  end(lines: string[]): void;
};

/** Writes to `out`; colours only where a person looks (a terminal without NO_COLOR). */
export function createNarrator(out: NodeJS.WriteStream): Narrator {
  const colour = out.isTTY && process.env['NO_COLOR'] === undefined;
  const paint = (style: Style, text: string) =>
    colour ? styleText(style, text, { validateStream: false }) : text;
  const print = (line = '') => void out.write(`${line}\n`);
  return {
    progress: (line) => print(paint('dim', `· ${line}`)),
    step(step) {
      print();
      print(paint('bold', step.title));
      for (const sentence of step.scene) print(`  ${sentence}`);
    },
    token({ permissions, task, expiresAt }) {
      const can = permissions.map(
        ({ actions, resources }) => `${actions.join(', ')} on ${resources.join(', ')}`,
      );
      const minutes = Math.round((expiresAt.getTime() - Date.now()) / 60_000);
      print(paint('cyan', `  token: ${can.join('; ')}; task ${task.type}; ${minutes} minutes`));
    },
    text: (line) => print(paint('dim', `  ${line}`)),
    line: ({ line }) => print(paint('dim', `  ledger: ${line}`)),
    verdict(step, result, ms) {
      for (const { what, ok } of result.facts)
        print(`  ${ok ? paint('green', '✓') : paint('red', '✗')} ${what}`);
      const held = result.actual === step.expected && result.facts.every(({ ok }) => ok);
      const told = `${result.actual} · ${result.reason} · ${Math.round(ms)} ms`;
      print(
        `  ${paint(held ? 'green' : 'red', held ? told : `${told} (expected ${step.expected})`)}`,
      );
    },
    end(lines) {
      print();
      for (const line of lines) print(paint('bold', line));
    },
  };
}
