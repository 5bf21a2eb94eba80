/** A JetStream stream as its owner declares it; replicas and sizes come from configuration. */
export type StreamDeclaration = {
  readonly name: string;
  readonly owner: string;
  readonly subjects: readonly string[];
  readonly description: string;
  /** Seconds of the Msg-Id window. De-duplication there is only an optimisation. */
  readonly duplicateWindowSeconds: number;
  readonly maxAgeSeconds: number;
};

/** Every stream, by name. Each has one owner, the only service that declares it. */
export const streams = {
  AUDIT: {
    name: 'AUDIT',
    owner: 'audit',
    subjects: ['remit.audit.*.*.*'],
    description:
      'Audit records on their way to the ledger; SIEMs read it with durables of their own',
    duplicateWindowSeconds: 120,
    maxAgeSeconds: 7 * 86_400,
  },
  POLICY: {
    name: 'POLICY',
    owner: 'pdp',
    subjects: ['remit.policy.*'],
    description: 'Signed activations of policy versions',
    duplicateWindowSeconds: 120,
    maxAgeSeconds: 30 * 86_400,
  },
  REGISTRY: {
    name: 'REGISTRY',
    owner: 'registry',
    subjects: ['remit.registry.*.*'],
    description: 'Signed changes of agents, users, roles, tools and task types',
    duplicateWindowSeconds: 120,
    maxAgeSeconds: 30 * 86_400,
  },
} as const satisfies Record<string, StreamDeclaration>;

export type StreamName = keyof typeof streams;

/** Durable consumers by owner: `<stream>` → `<durable>`; each is created by the service that reads it. */
export const durables = {
  auditIngest: { stream: 'AUDIT', durable: 'ingest', owner: 'audit' },
  /** Created by audit, read by the SIEM `siem`; a SIEM never creates consumers. */
  auditSiem: { stream: 'AUDIT', durable: 'siem', owner: 'audit' },
  registryPdp: { stream: 'REGISTRY', durable: 'pdp', owner: 'pdp' },
  registryRevocation: { stream: 'REGISTRY', durable: 'revocation', owner: 'revocation' },
  policyRevocation: { stream: 'POLICY', durable: 'revocation', owner: 'revocation' },
} as const satisfies Record<string, { stream: StreamName; durable: string; owner: string }>;
