/** A capability token lives at most this long (seconds). */
export const MAX_TOKEN_SECONDS = 900;

/** A token is registered at most this long after `rev` was read for it. */
export const MAX_DECISION_SECONDS = 60;

/** A task type lets first tokens of one task, which share their single use, be renewed this long. */
const MAX_TASK_SECONDS = 86_400;

/** What the issuer's clock may be off. */
export const CLOCK_SKEW_SECONDS = 60;

/** A spent use is kept at least until no token that shares it can live, with an hour to spare. */
export const MIN_USE_RETENTION_SECONDS = MAX_TASK_SECONDS + MAX_TOKEN_SECONDS + 3_600;

/**
 * When no token that a revocation of `at` can hit lives any more. Whatever was decided before it is
 * registered within MAX_DECISION_SECONDS or never, and lives MAX_TOKEN_SECONDS at most; whatever is
 * decided after it was asked about first (`check`). Rounded up to leave room.
 */
export function endOf(at: number): number {
  return at + 1_200;
}

/**
 * What an attempt holds is given back after this, when it was neither committed nor released. Longer
 * than a PEP takes between the two, its retries included.
 */
export const RESERVATION_SECONDS = 30;

/** What a call spent can be given back this long, and an attempt is known by its name. */
export const SETTLED_SECONDS = 3_600;

/** A budget of a task is known until no token with it can live, and nothing of it be given back. */
export const BUDGET_KEPT_SECONDS = MAX_TOKEN_SECONDS + CLOCK_SKEW_SECONDS + SETTLED_SECONDS;
