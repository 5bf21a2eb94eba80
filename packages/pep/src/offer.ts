import { randomUUIDv7 } from 'node:crypto';
import type { Reason } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import { type DecideDeps, type Finding, identify, standingOf } from './decide.ts';
import { type Refused, refused } from './enforce.ts';
import type { Presented } from './presented.ts';
import { identity, tokenOf } from './record.ts';
import { type Challenge, challengeOf } from './refusal.ts';

/** A tool as an agent would be offered it: an action, and a resource that may be a pattern. */
export type Candidate = { action: string; resource: string };

export type Offer<C extends Candidate> = {
  readonly allow: true;
  /** Names this answer in the ledger. */
  readonly id: string;
  /** What may be offered, in the order given. `online`: each call of it is decided by the PDP. */
  readonly tools: readonly { readonly tool: C; readonly check: 'local' | 'online' }[];
  /** `DPoP-Nonce` of the answer. */
  readonly nonce?: string;
};

export type Offers = {
  /**
   * Which tools may be offered to whoever presents a token: exactly those of which the PDP, asked now,
   * might allow a call with some arguments. What is left out would be refused whatever its arguments;
   * a tool that is offered is still decided at each call. Spends no use and no budget.
   * Leaves one record. Never throws: what can't be checked offers nothing.
   */
  filterTools<C extends Candidate>(
    presented: Presented,
    candidates: readonly C[],
  ): Promise<Offer<C> | Refused>;
};

const NOT_EVALUATED = {
  agent: 'not_evaluated',
  user: 'not_evaluated',
  task: 'not_evaluated',
  policies: 'not_evaluated',
} as const;

export function createOffers(
  deps: DecideDeps,
  recorder: Pick<Recorder, 'record' | 'countStranger'>,
  challenge: Challenge,
): Offers {
  const { tenant, audience, possession } = deps;

  async function verdictsFor(
    caller: NonNullable<Finding['caller']>,
    candidates: readonly Candidate[],
  ) {
    const { actors, subject, clientId, task, scope } = caller.capability;
    return deps.bus
      .call(
        'pdp.filter',
        tenant,
        {
          actors: [...actors],
          user: subject,
          client: clientId,
          task: { id: task.id, type: task.type },
          audience,
          scope: structuredClone(scope.permissions) as never,
          candidates: candidates.map(({ action, resource }) => ({ action, resource })),
        },
        { verifier: deps.pdpKeys },
      )
      .catch(() => undefined);
  }

  return {
    async filterTools(presented, candidates) {
      const id = randomUUIDv7();
      const refuse = (finding: Finding): Refused => {
        const nonce = possession.nextNonce(finding.nonce);
        return {
          ...refused(id, finding, challengeOf(finding.reason, presented, challenge)),
          ...(nonce === undefined ? {} : { nonce }),
        };
      };
      const because = (reason: Reason, more: Partial<Finding> = {}) =>
        refuse({ reason, dimensions: NOT_EVALUATED, ...more });
      try {
        const identified = await identify(deps, presented);
        if ('refused' in identified) {
          const { reason, caller } = identified.refused;
          if (!caller)
            recorder.countStranger(tenant, { source: presented.source ?? 'unknown', reason });
          return refuse(identified.refused);
        }
        const { caller, nonce } = identified;
        const known = { caller, ...(nonce === undefined ? {} : { nonce }) };
        const answer =
          candidates.length === 0
            ? { verdicts: [], policy_version: caller.capability.policy.version }
            : await verdictsFor(caller, candidates);
        if (!answer || answer.verdicts.length !== candidates.length)
          return because('pdp_unavailable', known);
        const tools = candidates.flatMap((tool, i) => {
          const check = answer.verdicts[i]?.offer;
          return check === 'local' || check === 'online' ? [{ tool, check }] : [];
        });
        await recorder.record(tenant, {
          id,
          event: 'decision',
          decision: 'allow',
          reason: 'permitted',
          principal: caller.capability.subject,
          ...identity(caller),
          audience,
          policy_version: answer.policy_version,
          token: tokenOf(caller),
          detail: { offer: true, asked: candidates.length, offered: tools.length },
        });
        // Asking and recording took time; what died meanwhile is offered nothing.
        const standing = standingOf(deps, caller);
        if (standing !== 'live' && standing !== 'recheck') return because(standing, known);
        const next = possession.nextNonce(nonce);
        return { allow: true, id, tools, ...(next === undefined ? {} : { nonce: next }) };
      } catch {
        return because('internal');
      }
    },
  };
}
