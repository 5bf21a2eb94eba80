import type { PublicJwk, TokenSubjects } from '@remit/contracts';

/** What a process of PEPs is told. */
export type ToFleet =
  | {
      do: 'join';
      natsUrl: string;
      tenant: string;
      peps: { user: string; seed: string }[];
      revocationKeys: PublicJwk[];
    }
  /** Tell when the last PEP refuses this token, or has got the next bare message. */
  | { do: 'expect'; mark: number; subject?: TokenSubjects }
  | { do: 'when-connected' }
  /** When each view is fresh and has applied the log up to `seq`. */
  | { do: 'when-fresh'; seq: number }
  /** When each connection is gone and each view stale. */
  | { do: 'when-lost' };

/** What it says. Times are microseconds of CLOCK_MONOTONIC. */
export type FromFleet =
  | { did: 'joined' }
  | { did: 'expecting'; mark: number }
  | { did: 'arrived'; mark: number; atUs: number }
  | { did: 'each'; atUs: number[] };
