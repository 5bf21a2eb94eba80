import type { EvaluateResponse, MintResponse } from '@remit/contracts';

export type ShadowOutcome = {
  decision: 'allow' | 'deny';
  reason: string;
  policies: readonly string[];
  /** Of a mint: permissions that a PEP may decide alone, and such that the pdp is asked about. */
  local?: number;
  online?: number;
};

/** One decision that a version in shadow would have made otherwise. Nothing personal is in it. */
export type ShadowDifference = {
  kind: 'evaluate' | 'mint';
  actors: readonly string[];
  task_type: string;
  action?: string;
  resource?: string;
  active: ShadowOutcome;
  shadow: ShadowOutcome;
};

export function outcomeOf(answer: EvaluateResponse | MintResponse): ShadowOutcome {
  const { decision, reason, policies } = answer;
  if (!('permissions' in answer)) return { decision, reason, policies };
  const online = answer.permissions.filter(({ check }) => check === 'online').length;
  return { decision, reason, policies, local: answer.permissions.length - online, online };
}

export function sameOutcome(a: ShadowOutcome, b: ShadowOutcome): boolean {
  return (
    a.decision === b.decision &&
    a.reason === b.reason &&
    a.policies.join() === b.policies.join() &&
    a.local === b.local &&
    a.online === b.online
  );
}
