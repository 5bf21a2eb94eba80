import type { OutboxTables } from '@remit/service-kit';
import type { Generated } from 'kysely';

/** `removed`: the folder does not name it any more; look-ups do not see it, its versions go on. */
export type Status = 'active' | 'inactive' | 'removed';

/** The tables of the registry's schema. Bodies are immutable and named by their digest. */
export type RegistryTables = OutboxTables & {
  tenants: { tenant: string; status: Status; body: string; revision: number };
  bodies: { tenant: string; digest: string; kind: string; text: string };
  agents: {
    tenant: string;
    id: string;
    status: Status;
    version: number;
    /** Digest of what the folder says, without the version. */
    spec: string;
    body: string;
    envelope_version: number;
    /** Digest of the envelope's permissions and the signing key. */
    envelope_spec: string;
    envelope: string;
  };
  roles: { tenant: string; id: string; body: string };
  users: {
    tenant: string;
    id: string;
    status: Status;
    body: string;
    /** Digest of identities and direct roles. */
    spec: string;
  };
  user_identities: { tenant: string; issuer: string; subject: string; user_id: string };
  user_groups: { tenant: string; user_id: string; group_id: string };
  user_roles: { tenant: string; user_id: string; role: string };
  group_roles: { tenant: string; group_id: string; role: string };
  tools: { tenant: string; id: string; audience: string; body: string };
  task_types: { tenant: string; id: string; body: string };
  /** What a load did, until the running service has recorded it. */
  load_reports: {
    tenant: string;
    id: Generated<number>;
    revision: number;
    summary: string;
    recorded_at: Date | null;
  };
};
