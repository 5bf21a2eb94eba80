import type { Obligation, ObligationType } from '@remit/contracts';

/**
 * Obligations in the words of AuthZEN's obligations profile, which is a draft: the one place that
 * knows them. A decision carries `context.obligations`, a request says in
 * `context.supported_obligations` which types the asker fulfils.
 */

/** `step-up` is the draft's own; what it has no word for is `custom` with a name of ours. */
export type ProfileObligation = {
  id: string;
  type: 'step-up' | 'custom';
  properties: Record<string, string>;
};

const NAMES: Readonly<Record<ObligationType, string>> = {
  approval: 'urn:remit:obligation:approval',
  step_up: 'step-up',
  redact: 'urn:remit:obligation:redact',
  limit: 'urn:remit:obligation:limit',
  log: 'urn:remit:obligation:log',
};

export function inProfile({ id, type, properties }: Obligation): ProfileObligation {
  if (type !== 'step_up') {
    return { id, type: 'custom', properties: { name: NAMES[type], ...properties } };
  }
  const { acr, max_age: maxAge } = properties;
  return {
    id,
    type: 'step-up',
    properties: {
      ...(acr === undefined ? {} : { acr_value: acr }),
      ...(maxAge === undefined ? {} : { max_age: maxAge }),
    },
  };
}

/** Whether whoever asked says that it fulfils all of them, each by its name. */
export function fulfils(
  supported: readonly string[] | undefined,
  obligations: readonly Obligation[],
): boolean {
  return obligations.every(({ type }) => supported?.includes(NAMES[type]) === true);
}
