import { randomBytes } from 'node:crypto';
import type { Bus, Verifier } from '@remit/bus';
import type { ConsumeResponse, Reason } from '@remit/contracts';
import type { VerifiedToken } from './verified-token.ts';

/**
 * What became of the use. `unknown`: asked, and no answer was had in the end, so it may be spent;
 * `unasked`: an earlier call here left it unknown, or too many are.
 */
export type Use = {
  id: string;
  outcome: ConsumeResponse['outcome'] | 'unknown' | 'unasked';
  /** Names this call's consumption at the revocation service; absent when nothing was asked. */
  attempt?: string;
};

export type SingleUses = {
  /** Consumes the use of a token that has one. Never throws; anything but `permitted` refuses. */
  consume(caller: VerifiedToken, use: string): Promise<{ reason: 'permitted' | Reason; use: Use }>;
  /** Uses whose outcome is unknown. */
  size(): number;
};

/** Longer than any token lives that is alive now: 15 minutes and one to spare. */
const REMEMBERED_MS = 960_000;

/**
 * Consumes single uses at the revocation service, whose one insert decides between all PEPs.
 *
 * Each call names its attempt, and the bus asks again under the same name a few times, so an answer
 * that got lost is had after all. When none is had the use may be spent for nothing: the call is
 * refused, and every later one with that use here too, without being asked, as long as a token that
 * shares the use can live. Another PEP may still win the one insert. This memory is bounded
 * (`maxUnknown`, default 10,000); when it is full nothing is asked and the use is left.
 * Does not look at anything else of the token: call it last.
 */
export function createSingleUses(options: {
  bus: Pick<Bus, 'call'>;
  tenant: string;
  audience: string;
  verifier: Verifier;
  monotonicMs: () => number;
  maxUnknown?: number;
  /** 128 random bits as base64url. Replaced only in tests. */
  newAttempt?: () => string;
}): SingleUses {
  const { bus, tenant, audience, verifier, monotonicMs, maxUnknown = 10_000 } = options;
  const newAttempt = options.newAttempt ?? (() => randomBytes(16).toString('base64url'));
  /** Use → when it may be forgotten. All are kept equally long, so the oldest stand first. */
  const unknown = new Map<string, number>();
  let asking = 0;

  function forgetOld(): void {
    const now = monotonicMs();
    for (const [use, until] of unknown) {
      if (until > now) return;
      unknown.delete(use);
    }
  }

  async function ask(caller: VerifiedToken, use: string, attempt: string) {
    const { capability, subjects } = caller;
    asking += 1;
    try {
      return await bus.call(
        'revocation.consume',
        tenant,
        {
          use_id: use,
          attempt,
          audience,
          token: {
            ...subjects,
            exp: capability.expiresAt,
            task_type: capability.task.type,
          },
        },
        { verifier },
      );
    } catch {
      unknown.delete(use);
      unknown.set(use, monotonicMs() + REMEMBERED_MS);
      return undefined;
    } finally {
      asking -= 1;
    }
  }

  return {
    async consume(caller, use) {
      forgetOld();
      const unasked: Use = { id: use, outcome: 'unasked' };
      if (unknown.has(use)) return { reason: 'single_use_unavailable', use: unasked };
      // Room for the worst outcome is there before anything is asked.
      if (unknown.size + asking >= maxUnknown) return { reason: 'overloaded', use: unasked };
      const attempt = newAttempt();
      const answer = await ask(caller, use, attempt);
      if (!answer) {
        return { reason: 'single_use_unavailable', use: { id: use, outcome: 'unknown', attempt } };
      }
      return { reason: reasonOfAnswer(answer), use: { id: use, outcome: answer.outcome, attempt } };
    },
    size: () => unknown.size,
  };
}

function reasonOfAnswer({ outcome, revoked }: ConsumeResponse): 'permitted' | Reason {
  if (outcome === 'consumed') return 'permitted';
  if (outcome === 'spent') return 'single_use_spent';
  return reasonOfHit(revoked);
}

/** The reason that the revocation service's answer to a consumption or reservation stands for. */
export function reasonOfHit(revoked: ConsumeResponse['revoked']): Reason {
  if (revoked?.ancestor) return 'ancestor_revoked';
  switch (revoked?.kind) {
    case 'task':
      return 'task_revoked';
    case 'agent':
      return 'agent_revoked';
    case 'user':
      return 'user_revoked';
    case 'client':
      return 'client_revoked';
    case 'tenant':
      return 'tenant_revoked';
    case 'key':
      return 'key_revoked';
    default:
      return 'token_revoked';
  }
}
