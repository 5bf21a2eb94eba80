import type { Permission } from '@remit/capability/scope';
import { ask, type Service } from '../service.ts';
import { stripped } from '../stripped.ts';
import { permissionInWords } from '../words.ts';
import type { Said } from './commands.ts';

type Tasks = { id: string; permissions: Permission[] }[];
type WhoCan = {
  action: string;
  resource: string;
  users: { id: string; roles: string[]; permissions: Permission[] }[];
  agents: { id: string; permissions: Permission[]; tasks: Tasks }[];
  guardrails: { id: string; agent?: string; always: boolean }[];
};

/** `who-can ACTION RESOURCE`: a list per dimension; only who stands in all of them can. */
export async function whoCan(
  pdp: Service,
  asked: { action: string; resource: string; agents: readonly string[] },
): Promise<Said> {
  const query = new URLSearchParams({ action: asked.action, resource: asked.resource });
  if (asked.agents.length > 0) query.set('agents', asked.agents.join(','));
  const data = await ask<WhoCan>(pdp, 'GET', `/admin/v1/who-can?${query.toString()}`);
  const { users, agents, guardrails } = data;
  const lines = [
    `${data.action} on ${data.resource}: an agent and a user of these lists, in one of the tasks, unless a guardrail objects.`,
    '',
    ...section('users', users, ({ id, roles, permissions }) => [
      `${id}${roles.length > 0 ? ` (${roles.join(', ')})` : ''}`,
      ...permissions.map((one) => `  ${permissionInWords(one)}`),
    ]),
    ...section('agents', agents, ({ id, permissions, tasks }) => [
      id,
      ...permissions.map((one) => `  ${permissionInWords(one)}`),
      `  in tasks: ${tasks.map((task) => task.id).join(', ') || 'none of its own, only what another agent hands on'}`,
    ]),
    ...section('guardrails', guardrails, ({ id, agent, always }) => [
      `${id}: ${always ? 'always forbids it' : 'may forbid it'}${agent ? ` to ${agent}` : ''}`,
    ]),
  ];
  return { data, text: lines.map(stripped).join('\n') };
}

function section<T>(title: string, these: readonly T[], say: (one: T) => string[]): string[] {
  if (these.length === 0) return [`${title}: none`];
  return [title, ...these.flatMap(say).map((line) => `  ${line}`)];
}

type Can = {
  agent: { id: string; active: boolean; permissions: Permission[] };
  user: { id: string; active: boolean; roles: string[]; permissions: Permission[] };
  tasks: { id: string; purpose: string }[];
  both: Permission[];
  unused: { agent: Permission[]; user: Permission[] };
  guardrails: { id: string }[];
};

/** `can AGENT USER`: what an agent can do for a user, and what each has that the other has not. */
export async function canDo(pdp: Service, agent: string, user: string): Promise<Said> {
  const query = new URLSearchParams({ agent, user });
  const data = await ask<Can>(pdp, 'GET', `/admin/v1/can?${query.toString()}`);
  const inactive = [data.agent, data.user].filter(({ active }) => !active).map(({ id }) => id);
  const lines = [
    ...(inactive.length > 0 ? [`Not there or not active: ${inactive.join(', ')}.`, ''] : []),
    ...section(`${agent} for ${user}, at most`, data.both, (one) => [permissionInWords(one)]),
    ...section('in tasks', data.tasks, ({ id, purpose }) => [`${id}: ${purpose}`]),
    ...section('guardrails that can have a say', data.guardrails, ({ id }) => [id]),
    ...section(`${agent} has more than ${user}`, data.unused.agent, (one) => [
      permissionInWords(one),
    ]),
    ...section(`${user} has more than ${agent}`, data.unused.user, (one) => [
      permissionInWords(one),
    ]),
  ];
  return { data, text: lines.map(stripped).join('\n') };
}
