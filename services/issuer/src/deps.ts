import type { ProofKeyCache } from '@remit/capability';
import type { Clock, IdpKeys } from '@remit/service-kit';
import type { Services } from './bus/services.ts';
import type { ProofNonces } from './proof-nonces.ts';
import type { ReplayMemory } from './store/replay.ts';
import type { TaskStore } from './store/tasks.ts';
import type { TokenKeys } from './token-keys.ts';

/** What the token endpoint works with. */
export type IssuerDeps = {
  readonly publicUrl: string;
  /** Seconds that a DPoP proof's time may be away from now. */
  readonly proofWindowSeconds: number;
  /** Imported keys of proofs: public, so that losing one costs time alone. */
  readonly proofKeys: ProofKeyCache;
  /** Undefined where proofs need no nonce. */
  readonly nonces: ProofNonces | undefined;
  readonly services: Services;
  readonly idpKeys: IdpKeys;
  readonly tokenKeys: TokenKeys;
  readonly replay: ReplayMemory;
  readonly tasks: TaskStore;
  readonly clock: Clock;
  /** 128 random bits as base64url. */
  readonly randomId: () => string;
};
