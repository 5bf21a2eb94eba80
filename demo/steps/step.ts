import type { World } from '../world.ts';

export type Outcome = 'allow' | 'deny' | 'found' | 'refused';

/**
 * One thing that was looked at from outside, in words, and whether it was as it must be. `of` says of
 * which call or request (`tries orders.create erp/orders`); `first` that it begins a new one.
 */
export type Fact = { what: string; ok: boolean; of?: string; first?: true };

/**
 * What running a step showed. `ok` is the judgement of all facts. `because` is the sentence that the
 * agent was told.
 */
export type StepResult = {
  actual: Outcome | 'error';
  reason: string;
  because?: string;
  facts: Fact[];
};

/** One scene of the story: the same module is told by `npm run demo` and tested by `test/e2e`. */
export type Step = {
  id: string;
  title: string;
  /** Who asks for what, in two or three plain sentences. */
  scene: string[];
  expected: Outcome;
  run(world: World): Promise<StepResult>;
};

/** A fact from a comparison; the words carry both sides when they differ. */
export function fact(what: string, actual: unknown, expected: unknown): Fact {
  const same = JSON.stringify(actual) === JSON.stringify(expected);
  return {
    what: same ? what : `${what}: ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`,
    ok: same,
  };
}

/** Facts about one call or request, told together. */
export function factsOf(of: string, facts: Fact[]): Fact[] {
  return facts.map((each, index) => ({ ...each, of, ...(index === 0 ? { first: true } : {}) }));
}
