import type { Signer } from '@remit/capability';
import type { AgentBody, PublicJwk } from '@remit/contracts';

/** An agent as the registry describes it, with one key. */
export function agent(id: string, key: Signer, more: Partial<AgentBody> = {}): AgentBody {
  return {
    kind: 'agent',
    id,
    version: 1,
    owner: 'treasury',
    keys: [{ ...key.publicJwk, kid: key.kid, alg: key.alg, use: 'sig' } as PublicJwk],
    launchers: ['procurement-app'],
    task_types: ['supplier-risk-summary'],
    bearer: false,
    free_tasks: false,
    relay: false,
    signing_alg: 'ML-DSA-65',
    attributes: {},
    ...more,
  };
}
