import { createHmac, timingSafeEqual } from 'node:crypto';

/** Nonces that proofs of this issuer's tenants carry (RFC 9449 section 8). */
export type ProofNonces = {
  issue(tenant: string, nowSeconds: number): Promise<string>;
  /** Whether a nonce is one of this tenant's and still good. */
  accepts(tenant: string, nonce: string, nowSeconds: number): Promise<boolean>;
};

const TIME_BYTES = 4;
const MAC_BYTES = 16;
/** base64url of time and MAC. */
const FORM = /^[A-Za-z0-9_-]{27}$/;
/** Seconds by which another replica's clock may lead. */
const SKEW_SECONDS = 5;

/**
 * Nonces without a memory: the time they were made and an HMAC-SHA-256 over tenant and time, so that
 * a nonce of one replica is good at all, and none of another tenant is. One is good for `lifeSeconds`
 * and for any number of proofs: that a proof is used once is the replay memory's. What a nonce adds is
 * that nobody can have a proof made for later.
 * `secret` is the same 32 bytes at every replica; it is asked for at the first use.
 */
export function createProofNonces(options: {
  secret: () => Promise<Uint8Array>;
  lifeSeconds: number;
}): ProofNonces {
  const { secret, lifeSeconds } = options;
  const make = async (tenant: string, atSeconds: number): Promise<string> => {
    const time = Buffer.alloc(TIME_BYTES);
    time.writeUInt32BE(atSeconds);
    const mac = createHmac('sha256', await secret())
      .update(`dpop-nonce ${tenant} ${atSeconds}`)
      .digest()
      .subarray(0, MAC_BYTES);
    return Buffer.concat([time, mac]).toString('base64url');
  };
  return {
    issue: make,
    async accepts(tenant, nonce, nowSeconds) {
      if (!FORM.test(nonce)) return false;
      const atSeconds = Buffer.from(nonce, 'base64url').readUInt32BE();
      const ageSeconds = nowSeconds - atSeconds;
      if (ageSeconds < -SKEW_SECONDS || ageSeconds > lifeSeconds) return false;
      return timingSafeEqual(Buffer.from(await make(tenant, atSeconds)), Buffer.from(nonce));
    },
  };
}
