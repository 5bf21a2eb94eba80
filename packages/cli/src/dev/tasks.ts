import { readFileSync } from 'node:fs';
import { type Agent, type Capability, createAgent, type PrivateJwk } from '@remit/agent';
import type { DevFile } from '@remit/contracts';
import { CliError } from '../error.ts';
import { signInAs } from './people.ts';

export type TaskChoice = { taskType: string; slots: Record<string, string | number> };

/** An agent of dev.json, with its registered key; `proofKey` lets two commands share a token. */
export function agentOf(dev: DevFile, id: string, proofKey?: PrivateJwk): Agent {
  const client = dev.clients.find((known) => known.id === id);
  if (!client) {
    const names = dev.clients.map((known) => known.id).join(', ');
    throw new CliError('NOT_FOUND', `There is no agent ${id}. The demo tenant has ${names}.`);
  }
  const { keys } = JSON.parse(readFileSync(client.key_file, 'utf8')) as { keys: PrivateJwk[] };
  return createAgent({
    issuer: dev.issuer,
    clientId: id,
    key: keys[0] as PrivateJwk,
    ...(client.bearer ? { binding: 'bearer' as const } : proofKey ? { proofKey } : {}),
  });
}

/** Signs the user in and starts a task for them with an agent. */
export async function startTask(
  dev: DevFile,
  choice: TaskChoice & { user: string; agent: string; proofKey?: PrivateJwk },
): Promise<Capability> {
  const { idToken } = await signInAs(dev, choice.user);
  return agentOf(dev, choice.agent, choice.proofKey).startTask({
    idToken,
    taskType: choice.taskType,
    slots: choice.slots,
    resource: dev.erp_audience,
  });
}

const DEFAULT_SLOTS: Record<string, Record<string, string | number>> = {
  'supplier-risk-summary': { supplier: 'S-100' },
  'review-contract-terms': { contract: 'C-7' },
  'release-payment': { payment: 'P-1' },
  'terminate-contract': { contract: 'C-7' },
  'order-supplies': {},
  'raise-purchase-order': { supplier: 'S-100', ceiling: 5_000 },
};

/** Slots as given on the command line (`name=value`), over those of the demo's examples. */
export function slotsFor(taskType: string, given: string[]): Record<string, string | number> {
  const slots = { ...(Object.hasOwn(DEFAULT_SLOTS, taskType) ? DEFAULT_SLOTS[taskType] : {}) };
  for (const pair of given) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new CliError('USAGE', `--slot wants name=value, not ${pair}`);
    const value = pair.slice(equals + 1);
    slots[pair.slice(0, equals)] = /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  }
  return slots;
}

/** The demo task that a call to the demo ERP belongs to. */
export function taskForCall(path: string, body: Record<string, unknown> | undefined): TaskChoice {
  const [, collection = '', id = ''] = path.split('?')[0]?.split('/') ?? [];
  switch (collection) {
    case 'suppliers':
      return { taskType: 'supplier-risk-summary', slots: { supplier: id } };
    case 'contracts':
      return { taskType: 'review-contract-terms', slots: { contract: id } };
    case 'payments':
      return { taskType: 'release-payment', slots: { payment: id } };
    case 'orders': {
      const { supplier = 'S-100', amount = 5_000 } = body ?? {};
      return {
        taskType: 'raise-purchase-order',
        slots: { supplier: String(supplier), ceiling: Number(amount) },
      };
    }
    default:
      throw new CliError('USAGE', `No task of the demo fits ${path}. Name one with --task.`);
  }
}
