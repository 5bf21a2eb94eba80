import { createHash, randomBytes } from 'node:crypto';
import type { Bus, Verifier } from '@remit/bus';
import type { Reason } from '@remit/contracts';
import { proofLifeSeconds } from './replay.ts';

/** The memory of used proofs that all instances of an audience share. */
export type SharedProofs = {
  /** Claims a proof, by what names it. Undefined when it is ours; never throws. */
  claim(key: string): Promise<Reason | undefined>;
};

/** The feed's clock at the service and here may be this far apart. */
const APART_SECONDS = 60;

/**
 * Claims proofs at the revocation service, where the first insert of a proof wins over all instances.
 * The bus asks again under the same attempt, so an answer that got lost is had after all; when none is
 * had the proof may be spent for nothing and is refused (`proof_unavailable`).
 * Give every instance of an audience the same `windowSeconds`: a claim is kept as long as this one
 * takes a proof, and a minute.
 */
export function createSharedProofs(options: {
  bus: Pick<Bus, 'call'>;
  tenant: string;
  audience: string;
  verifier: Verifier;
  windowSeconds: number;
}): SharedProofs {
  const { bus, tenant, audience, verifier, windowSeconds } = options;
  const keepSeconds = proofLifeSeconds(windowSeconds) + APART_SECONDS;
  return {
    async claim(key) {
      const proof = createHash('sha256').update(`${audience}\n${key}`).digest('base64url');
      const attempt = randomBytes(16).toString('base64url');
      const asked = { proof, attempt, keep_seconds: keepSeconds };
      try {
        const { outcome } = await bus.call('revocation.claim', tenant, asked, { verifier });
        return outcome === 'claimed' ? undefined : 'proof_replayed';
      } catch {
        return 'proof_unavailable';
      }
    },
  };
}
