import type { Narrator } from './narrate.ts';
import { steps } from './steps/index.ts';
import type { Outcome, StepResult } from './steps/step.ts';
import type { World } from './world.ts';

/** The object that `npm run -s demo -- --json` writes. */
export type Report = {
  ok: boolean;
  steps: {
    id: string;
    title: string;
    expected: Outcome;
    actual: string;
    ok: boolean;
    reason: string;
    ms: number;
  }[];
  audit: { records: number; verified: boolean };
  revocation: { ackToRefusedMs: number | null };
};

/** Runs every step in order and judges it. A step that throws is told and fails; the others still run. */
export async function tell(world: World, narrate: Narrator): Promise<Report> {
  const told: Report['steps'] = [];
  for (const [index, step] of steps.entries()) {
    narrate.step(step, index + 1);
    const startedAt = performance.now();
    const result: StepResult = await step.run(world).catch((error: unknown) => ({
      actual: 'error' as const,
      reason: error instanceof Error ? error.message : String(error),
      facts: [],
    }));
    const ms = Math.round(performance.now() - startedAt);
    narrate.verdict(step, result, ms);
    const ok =
      result.actual === step.expected &&
      result.facts.length > 0 &&
      result.facts.every((fact) => fact.ok);
    told.push({
      id: step.id,
      title: step.title,
      expected: step.expected,
      actual: result.actual,
      ok,
      reason: result.reason,
      ms,
    });
  }
  const { ackToRefusedMs, records, verified } = world.figures;
  return {
    ok: told.every((step) => step.ok),
    steps: told,
    audit: { records: records ?? 0, verified: verified ?? false },
    revocation: { ackToRefusedMs: ackToRefusedMs ?? null },
  };
}
