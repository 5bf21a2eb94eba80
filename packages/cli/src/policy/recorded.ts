import type { RecordView } from '../dev/records.ts';

/** A decision as the pdp takes it to decide it again. */
export type RecordedDecision = {
  id: string;
  time: string;
  actors: string[];
  user: string;
  client: string;
  task: { id: string; type: string };
  audience: string;
  scope: unknown;
  operation: { action: string; resource: string; args: Record<string, unknown> };
  approval?: string;
  decision: 'allow' | 'deny';
  reason: string;
  policy_version: string;
  registry_revision?: number;
};

/** Why a record cannot be decided again. */
export type Left = 'erased' | 'no decision about an operation' | 'nobody was known';

const ARGS = '/operation/args/';

/** A record of the ledger as a decision that can be made again, or why it can't. */
export function recordedOf(view: RecordView): RecordedDecision | Left {
  const { record, user, values } = view;
  if (!record || record.event !== 'decision' || !record.operation || !record.decision)
    return 'no decision about an operation';
  const { act_chain: actors = [], client, task, audience, scope, policy_version: version } = record;
  if (record.principal && user === null) return 'erased';
  if (user === null || actors.length === 0 || !client || !task || !audience || !scope || !version)
    return 'nobody was known';
  const args: Record<string, unknown> = {};
  for (const name of Object.keys(record.operation.args ?? {})) {
    const pointer = ARGS + name.replaceAll('~', '~0').replaceAll('/', '~1');
    if (!Object.hasOwn(values, pointer)) return 'erased';
    Object.defineProperty(args, name, { value: values[pointer], enumerable: true });
  }
  const { action, resource } = record.operation;
  return {
    id: record.id,
    time: record.time,
    actors: [...actors],
    user,
    client,
    task: { id: task.id, type: task.type },
    audience,
    scope,
    operation: { action, resource, args },
    ...(record.approval === undefined ? {} : { approval: record.approval }),
    decision: record.decision,
    reason: record.reason ?? 'internal',
    policy_version: version,
    ...(record.registry_revision === undefined
      ? {}
      : { registry_revision: record.registry_revision }),
  };
}
