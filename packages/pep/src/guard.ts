import type { Asked } from './decide.ts';
import { AccessDenied } from './denied.ts';
import type { Allowed, Enforcement } from './enforce.ts';
import type { Presented } from './presented.ts';

/** What a guarded function does with its input, in the words of the capability model. */
export type GuardSpec<I> = {
  action: string;
  resource: (input: I) => string;
  /** All arguments that the tool will use. They are copied, checked and frozen. */
  args: (input: I) => unknown;
};

/**
 * What a call asks for. A callback that throws, as it may on a body that isn't there, leaves a call
 * that can't be read: it is decided and recorded like any other, and refused as `arguments_invalid`.
 */
export function askedOf<I>(spec: GuardSpec<I>, input: I): { asked: Asked; cause?: unknown } {
  const { action } = spec;
  try {
    return { asked: { action, resource: spec.resource(input), args: spec.args(input) } };
  } catch (cause) {
    return { asked: { action, resource: '', args: undefined }, cause };
  }
}

/**
 * Puts the PEP in front of a function, for servers of any kind. The handler gets the decision with
 * the frozen operation that was checked, never the input.
 * The returned function throws AccessDenied when the call may not happen, and what the handler
 * throws; either way the ledger has the record.
 */
export function guard<I, R>(
  pep: Enforcement,
  spec: GuardSpec<I>,
  handler: (call: Allowed) => Promise<R> | R,
): (presented: Presented, input: I) => Promise<R> {
  return async (presented, input) => {
    const { asked, cause } = askedOf(spec, input);
    const decided = await pep.decide(presented, asked);
    if (!decided.allow) throw new AccessDenied(decided, asked, cause);
    const startedAt = performance.now();
    let outcome: 'ok' | 'failed' = 'failed';
    try {
      const result = await handler(decided);
      outcome = 'ok';
      return result;
    } finally {
      await pep.finished(decided, outcome, performance.now() - startedAt);
    }
  };
}
