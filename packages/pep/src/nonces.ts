import { randomBytes } from 'node:crypto';

/** The nonces of one instance of a PEP (RFC 9449 section 9). */
export type Nonces = {
  /** What a client is told. */
  current(): string;
  /** What a proof may carry: the current nonce and the one before. */
  accepted(): readonly string[];
};

/**
 * Random nonces that no other instance knows, so that a proof is good at one instance alone. A new one
 * is made `everyMs` (default 60,000) after the last; the one before is taken until then, which keeps
 * clients from being challenged at every change. A nonce lives at most twice as long, also when nobody
 * called meanwhile.
 */
export function createNonces(options: { monotonicMs: () => number; everyMs?: number }): Nonces {
  const { monotonicMs, everyMs = 60_000 } = options;
  let nonces = [newNonce()];
  let turnedAt = monotonicMs();

  function turn(): void {
    const now = monotonicMs();
    const elapsed = now - turnedAt;
    if (elapsed < everyMs) return;
    nonces = elapsed < 2 * everyMs ? [newNonce(), nonces[0] as string] : [newNonce()];
    turnedAt = now;
  }

  return {
    current() {
      turn();
      return nonces[0] as string;
    },
    accepted() {
      turn();
      return nonces;
    },
  };
}

const newNonce = () => randomBytes(16).toString('base64url');
