import { randomUUIDv7 } from 'node:crypto';
import { describeMiss, type Miss } from '@remit/capability/scope';
import type { Capability } from '@remit/capability/token';
import { type Obligation, REASONS, type Reason } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import {
  type Asked,
  type DecideDeps,
  decide,
  type Finding,
  giveBack,
  judgeAgain,
} from './decide.ts';
import { didNothing } from './nothing-done.ts';
import { createOfflineDelegations } from './offline.ts';
import type { Presented } from './presented.ts';
import { callRecord, finishRecord } from './record.ts';
import { answerOf, type Challenge, challengeOf } from './refusal.ts';
import type { VerifiedToken } from './verified-token.ts';

/** A call that may happen. `operation` is the frozen copy that was checked: use it, not the request. */
export type Allowed = {
  readonly allow: true;
  /** Names this decision in the ledger. */
  readonly id: string;
  readonly operation: Asked & { readonly args: Readonly<Record<string, unknown>> };
  /** The launching principal: a user. */
  readonly principal: string;
  /** Agents of the chain, the originating one first. */
  readonly actors: readonly string[];
  readonly task: Capability['task'];
  readonly capability: Capability;
  /** What the decision asked for; handlers of this PEP have fulfilled it. */
  readonly obligations: readonly Obligation[];
  /** Offline hops of the token, oldest first. */
  readonly links: VerifiedToken['links'];
  /** `DPoP-Nonce` of the answer: the nonce that the caller's next proof needs. */
  readonly nonce?: string;
};

/** A call that may not. What is in here may be shown to the caller; the record holds the rest. */
export type Refused = {
  readonly allow: false;
  readonly id: string;
  readonly reason: Reason;
  /** The sentence of the reason, or of the nearest miss. Never a bound, a policy or a foreign scope. */
  readonly explanation: string;
  readonly dimension?: 'agent' | 'user' | 'task' | 'policies';
  /** What would change the answer: an approval, a stronger sign-in. */
  readonly remedies?: readonly Pick<Obligation, 'type' | 'properties'>[];
  /** HTTP status. */
  readonly status: 400 | 401 | 403 | 503;
  /** `WWW-Authenticate`, for 401 and 403. */
  readonly challenge?: string;
  /** `DPoP-Nonce` of the answer: the nonce that the caller's next proof needs. */
  readonly nonce?: string;
};

/** What a PEP does with every call. */
export type Enforcement = {
  /** Decides one call and leaves one record, or refuses because none can be left. Never throws. */
  decide(presented: Presented, asked: Asked): Promise<Allowed | Refused>;
  /**
   * Records how an allowed call ended, and gives back what it spent of budgets when the tool said that
   * nothing was done. Never throws: the call has happened.
   */
  finished(call: Allowed, outcome: 'ok' | 'failed', durationMs: number): Promise<void>;
};

/**
 * Decides calls and gives each its record before the tool may run. Looks again at revocation,
 * freshness and changed facts after recording: it waited for the bus or the disk meanwhile. While it
 * records, what is reserved from budgets is spent: a tool that runs has been paid for, whatever
 * becomes of this process, and only what surely did nothing is given back.
 * `challenge` is what a refusal tells of this audience.
 */
export function createEnforcement(
  deps: DecideDeps,
  recorder: Pick<Recorder, 'record' | 'countStranger'>,
  challenge: Challenge,
): Enforcement {
  const { tenant, audience, view, monotonicMs } = deps;
  /** The attempts under which calls that were allowed have spent of budgets. */
  const spent = new WeakMap<Allowed, string>();
  const offline = createOfflineDelegations({ recorder, tenant, audience });

  /** Junk that can't be counted, while the PEP closes say, is refused all the same. */
  function count(source: string | undefined, reason: Reason): void {
    try {
      recorder.countStranger(tenant, { source: source ?? 'unknown', reason });
    } catch {
      // The answer is a refusal either way.
    }
  }

  /** Spends what an allowed call holds; false unless that is certain. */
  async function commit({ reason, spending }: Finding): Promise<boolean> {
    if (reason !== 'permitted' || spending?.attempt === undefined) return true;
    return deps.budgets.commit(spending.attempt);
  }

  return {
    async decide(presented, asked) {
      const startedAt = monotonicMs();
      const id = randomUUIDv7();
      const finding = await decide(deps, presented, asked);
      const { caller } = finding;
      const latencyUs = Math.max(0, Math.round((monotonicMs() - startedAt) * 1_000));
      const nonce = deps.possession.nextNonce(finding.nonce);
      const told = nonce === undefined ? {} : { nonce };
      const answer = (found: Finding): Refused => ({
        ...refused(id, found, challengeOf(found.reason, presented, challenge)),
        ...told,
      });
      if (!caller) {
        count(presented.source, finding.reason);
        return answer(finding);
      }
      const context = { id, audience, asked, latencyUs, rev: view.rev() };
      const committing = commit(finding);
      const undo = () => void committing.then(() => giveBack(deps, finding));
      try {
        if (caller.links.length > 0) await offline.record(caller);
        await recorder.record(tenant, callRecord(context, finding, caller));
      } catch {
        // No record, no action, and a use that was consumed is burned. A refusal stays what it was.
        if (finding.reason === 'permitted') undo();
        return answer(
          finding.reason === 'permitted' ? { ...finding, reason: 'audit_unavailable' } : finding,
        );
      }
      const { operation } = finding;
      if (finding.reason !== 'permitted' || !operation) return answer(finding);
      // Recording waited for the bus or the disk: what was live may be revoked, stale or changed by now.
      const late = (await committing)
        ? await judgeAgain(deps, { ...finding, caller, operation })
        : { ...finding, reason: 'budget_unavailable' as const };
      if (late.reason !== 'permitted') {
        undo();
        await recorder
          .record(
            tenant,
            callRecord({ ...context, id: randomUUIDv7(), supersedes: id }, late, caller),
          )
          .catch(() => undefined);
        return answer(late);
      }
      const { capability } = caller;
      const call: Allowed = {
        allow: true,
        id,
        operation,
        principal: capability.subject,
        actors: capability.actors,
        task: capability.task,
        capability,
        obligations: finding.online?.obligations ?? [],
        links: caller.links,
        ...told,
      };
      if (finding.spending?.attempt !== undefined) spent.set(call, finding.spending.attempt);
      return call;
    },
    async finished(call, outcome, durationMs) {
      const attempt = spent.get(call);
      const isBack =
        attempt !== undefined && didNothing(call) && (await deps.budgets.release(attempt));
      const spending = attempt === undefined ? undefined : isBack ? 'released' : 'committed';
      await recorder
        .record(tenant, finishRecord(call, audience, { outcome, durationMs, spending }))
        .catch(() => undefined);
    },
  };
}

const REMEDIED: ReadonlySet<Reason> = new Set(['approval_required', 'step_up_required']);

export function refused(id: string, finding: Finding, challenge: string | undefined): Refused {
  const { reason, dimensions, miss, operation, online } = finding;
  const remedies = REMEDIED.has(reason) ? (online?.obligations ?? []) : [];
  const dimension = (['agent', 'user', 'task', 'policies'] as const).find(
    (name) => dimensions[name] === 'deny',
  );
  const near =
    miss && operation && dimension === 'task' && miss.kind !== 'empty'
      ? { ...miss, ...operation }
      : undefined;
  return {
    allow: false,
    id,
    reason,
    explanation: near ? describeMiss(near as unknown as Miss) : REASONS[reason],
    status: answerOf(reason).status,
    ...(dimension ? { dimension } : {}),
    // Which guardrail asks for it is for the record alone.
    ...(remedies.length > 0
      ? { remedies: remedies.map(({ type, properties }) => ({ type, properties })) }
      : {}),
    ...(challenge ? { challenge } : {}),
  };
}
