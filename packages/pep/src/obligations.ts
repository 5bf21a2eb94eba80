import { isDeepStrictEqual } from 'node:util';
import type { Operation } from '@remit/capability/scope';
import type { Obligation } from '@remit/contracts';
import { PepError } from './error.ts';

/**
 * Does what an obligation asks for, or makes the tool do it, before the tool runs. Throwing, or not
 * ending within two seconds, refuses the call.
 */
export type ObligationHandler = (
  obligation: Obligation,
  operation: Operation,
) => void | Promise<void>;

/**
 * What the author of a tool can fulfil. The kinds are closed; one without a handler refuses every call
 * that is allowed only with it.
 */
export type ObligationHandlers = {
  /** `properties.fields`: names, with commas, that the result may not show. */
  redact?: ObligationHandler;
  /** `properties.rows`: at most so many in the result; `properties.rate`: `10/minute` and the like. */
  limit?: ObligationHandler;
  /** `properties.fields`: what to log of the call besides its record. */
  log?: ObligationHandler;
};

export type Obligations = {
  /** Fulfils all, in their order. False when one cannot be, for whatever reason; then nothing may run. */
  fulfil: (asked: readonly Obligation[], operation: Operation) => Promise<boolean>;
};

const KINDS = ['redact', 'limit', 'log'] as const;
const WITHIN_MS = 2_000;

/** Throws PepError `CONFIG_INVALID` for a kind that is not known, or a handler that is no function. */
export function createObligations(handlers: ObligationHandlers = {}): Obligations {
  const table = new Map<string, ObligationHandler>();
  for (const [kind, handler] of Object.entries(handlers)) {
    if (!(KINDS as readonly string[]).includes(kind) || typeof handler !== 'function')
      throw new PepError('CONFIG_INVALID', 'no obligation is fulfilled like that', { kind });
    table.set(kind, handler);
  }
  return {
    async fulfil(asked, operation) {
      // All or none: a handler may change something.
      if (!asked.every(({ type }) => table.has(type))) return false;
      try {
        for (const one of asked) {
          const handler = table.get(one.type) as ObligationHandler;
          await within(handler(structuredClone(one), operation));
        }
        return true;
      } catch {
        return false;
      }
    },
  };
}

async function within(work: void | Promise<void>): Promise<void> {
  // Anything that may still fail is waited for, whoever's promise it is.
  if (work === undefined) return;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('an obligation took too long')), WITHIN_MS);
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether everything that is asked was fulfilled already. */
export function isFulfilled(
  asked: readonly Obligation[],
  fulfilled: readonly Obligation[],
): boolean {
  return asked.every((one) => fulfilled.some((other) => isDeepStrictEqual(one, other)));
}
