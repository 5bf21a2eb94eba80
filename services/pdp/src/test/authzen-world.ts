import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PermissionJson, TaskTypeBody, ToolBody } from '@remit/contracts';
import type { ExternalConfig } from '../decide/external.ts';
import type { AuthzenClient } from '../http/authzen-callers.ts';
import { agentBody, everything, summary } from './fixtures.ts';
import { startWorld, type World } from './world.ts';

// A pdp that an AuthZEN client with a key of its own asks about one application, whose users,
// resources and guardrails stand in for what a scenario describes.

export const KEY = 'k'.repeat(43);
const AUDIENCE = 'https://app.example';
const AGENT = 'app-agent';

export type Application = {
  actions: string[];
  /** Resources that a search can find. */
  resources?: ToolBody['resources'];
  users: Record<
    string,
    { roles: string[]; groups?: string[]; attributes?: Record<string, string> }
  >;
  /** What each role may do. */
  roles: Record<string, PermissionJson[]>;
  policies?: string;
  external?: ExternalConfig;
};

export async function startApplication(application: Application): Promise<World> {
  const { actions, users, roles, resources, policies, external } = application;
  const client: AuthzenClient = {
    id: 'harness',
    key_sha256: createHash('sha256').update(KEY).digest('base64url'),
    audience: AUDIENCE,
    actors: [AGENT],
    task: { type: 'use-app' },
  };
  const world = await startWorld((infra) => {
    const authzenFile = join(infra.tmpDir, 'authzen.json');
    const acme = { clients: [client], ...(external ? { external } : {}) };
    writeFileSync(authzenFile, JSON.stringify({ acme }));
    return { authzenFile };
  });
  const acme = world.registry.tenants.get('acme');
  if (!acme) throw new Error('there is no such tenant');
  const task: TaskTypeBody = { ...summary, id: 'use-app', slots: {}, permissions: everything };
  acme.taskTypes.push(task);
  const tool: ToolBody = { kind: 'tool', id: 'app', audience: AUDIENCE, actions };
  acme.tools.push(resources ? { ...tool, resources } : tool);
  acme.agents.set(AGENT, {
    body: agentBody(AGENT, { task_types: [task.id] }),
    active: true,
    envelope: everything,
  });
  for (const [id, user] of Object.entries(users))
    acme.users.set(id, { groups: [], active: true, ...user });
  for (const [id, permissions] of Object.entries(roles)) acme.roles.set(id, permissions);
  if (policies !== undefined) await activate(world, policies);
  return world;
}

/** Makes these guardrails the ones that decide. */
export async function activate(world: World, policies: string): Promise<void> {
  const made = await world.pdp.policies.upload({
    tenant: 'acme',
    author: 'dora',
    message: 'of a test',
    files: { 'app.cedar': policies },
  });
  await world.pdp.policies.activate({ tenant: 'acme', version: made.version, by: 'dora' });
}

/** Sends bytes as an AuthZEN client would. */
export async function post(
  world: World,
  path: string,
  payload: string | object,
  headers: Record<string, string> = {},
) {
  return world.pdp.http.inject({
    method: 'POST',
    url: `/t/acme/access/v1/${path}`,
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', ...headers },
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  });
}
