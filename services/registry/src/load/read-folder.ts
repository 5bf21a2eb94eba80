import { readdirSync, readFileSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { conform, type PublicJwk, parseJsonStrict, publicJwk, tenantId } from '@remit/contracts';
import { type Static, type TSchema, Type } from 'typebox';
import {
  type AgentFile,
  agentFile,
  type GroupEntry,
  groupsFile,
  type RoleFile,
  roleFile,
  type TaskTypeFile,
  type TenantFile,
  type ToolFile,
  taskTypeFile,
  tenantFile,
  toolsFile,
  type UserEntry,
  usersFile,
} from './schemas.ts';
import { type Environment, loadError, readYaml } from './yaml-file.ts';

export type AgentEntry = Omit<AgentFile, 'keys' | 'keys_file' | 'proof_keys_file'> & {
  keys: PublicJwk[];
};
export type ToolEntry = Omit<ToolFile, 'keys_file'>;

/** A tenant as its folder says it. `files` names where each agent, role and task type came from. */
export type TenantFolder = {
  tenant: TenantFile;
  agents: AgentEntry[];
  roles: RoleFile[];
  users: UserEntry[];
  groups: GroupEntry[];
  tools: ToolEntry[];
  taskTypes: TaskTypeFile[];
};

/** Files and folders that may be there; `policies` is the pdp's. */
const KNOWN = new Set([
  'README.md',
  'agents',
  'groups.yaml',
  'policies',
  'roles',
  'task-types',
  'tenant.yaml',
  'tools.yaml',
  'users.yaml',
]);

/** The tenants of a folder: one folder each. Throws RegistryError `LOAD_INVALID`. */
export function readFolder(dir: string, env: Environment): TenantFolder[] {
  const folders = entries(dir, dir).filter(({ folder }) => folder);
  if (folders.length === 0) throw loadError(dir, 'holds no folder of a tenant');
  return folders.map(({ name }) => readTenant(dir, name, env));
}

function readTenant(dir: string, name: string, env: Environment): TenantFolder {
  const at = (...parts: string[]): string => join(dir, name, ...parts);
  try {
    tenantId(name);
  } catch {
    throw loadError(name, 'is not the name of a tenant ([a-z0-9-], at most 31)');
  }
  const present = new Set(entries(at(), name).map((entry) => entry.name));
  for (const file of present) {
    if (!KNOWN.has(file)) throw loadError(`${name}/${file}`, 'is not a part of a tenant folder');
  }
  const file = <S extends TSchema>(path: string, schema: S): Static<S> =>
    readYaml(at(path), `${name}/${path}`, schema, env);
  const optional = <S extends TSchema>(path: string, schema: S): Static<S> | undefined =>
    present.has(path) ? file(path, schema) : undefined;
  const many = <S extends TSchema>(folder: string, schema: S): Static<S>[] =>
    present.has(folder)
      ? yamlFiles(at(folder), `${name}/${folder}`).map((path) => named(folder, path, schema))
      : [];
  const named = <S extends TSchema>(folder: string, path: string, schema: S): Static<S> => {
    const entry = file(`${folder}/${path}`, schema);
    if ((entry as { id: string }).id !== path.replace(/\.yaml$/, '')) {
      throw loadError(`${name}/${folder}/${path}`, '/id is not the name of the file');
    }
    return entry;
  };
  const tenant = file('tenant.yaml', tenantFile);
  if (tenant.id !== name)
    throw loadError(`${name}/tenant.yaml`, '/id is not the name of the folder');
  return {
    tenant,
    agents: many('agents', agentFile).map((agent) => withKeys(agent, at('agents'), name)),
    roles: many('roles', roleFile),
    users: optional('users.yaml', usersFile) ?? [],
    groups: optional('groups.yaml', groupsFile) ?? [],
    tools: (optional('tools.yaml', toolsFile) ?? []).map((tool) => withToolKeys(tool, at(), name)),
    taskTypes: many('task-types', taskTypeFile),
  };
}

function withKeys(agent: AgentFile, folder: string, tenant: string): AgentEntry {
  const {
    keys: inPlace,
    keys_file: keysFile,
    proof_keys: proofInPlace,
    proof_keys_file: proofFile,
    ...rest
  } = agent;
  const from = { folder, shown: `${tenant}/agents/${agent.id}.yaml` };
  const keys = eitherKeys('keys', inPlace, keysFile, from);
  if (!keys) throw loadError(from.shown, 'needs either keys or keys_file');
  const proofKeys = eitherKeys('proof_keys', proofInPlace, proofFile, from);
  return { ...rest, keys, ...(proofKeys ? { proof_keys: proofKeys } : {}) };
}

function withToolKeys(tool: ToolFile, folder: string, tenant: string): ToolEntry {
  const { keys: inPlace, keys_file: keysFile, ...rest } = tool;
  const keys = eitherKeys('keys', inPlace, keysFile, { folder, shown: `${tenant}/tools.yaml` });
  return { ...rest, ...(keys ? { keys } : {}) };
}

/** Keys in place or in a file, never both; undefined for neither. */
function eitherKeys(
  name: string,
  inPlace: PublicJwk[] | undefined,
  path: string | undefined,
  { folder, shown }: { folder: string; shown: string },
): PublicJwk[] | undefined {
  if (path === undefined) return inPlace;
  if (inPlace !== undefined) throw loadError(shown, `needs either ${name} or ${name}_file`);
  return readKeys(name, path, folder, shown);
}

const jwksFile = Type.Object(
  { keys: Type.Array(publicJwk, { minItems: 1, maxItems: 8 }) },
  { additionalProperties: false },
);

/** A file of public JWKs; one that holds a private member is refused by the closed schema. */
function readKeys(name: string, path: string, folder: string, shown: string): PublicJwk[] {
  const file = isAbsolute(path) ? path : join(folder, path);
  try {
    return conform(jwksFile, parseJsonStrict(readFileSync(file, 'utf8'))).keys;
  } catch (cause) {
    const why = (cause as Error).message;
    throw loadError(shown, `/${name}_file ${path} is not a file of public keys: ${why}`);
  }
}

function yamlFiles(path: string, shown: string): string[] {
  return entries(path, shown).map(({ name, folder }) => {
    if (folder || !/^[A-Za-z0-9._@-]+\.yaml$/.test(name)) {
      throw loadError(`${shown}/${name}`, 'is not a .yaml file');
    }
    return name;
  });
}

function entries(path: string, shown: string): { name: string; folder: boolean }[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter(({ name }) => !name.startsWith('.'))
      .map((entry) => ({ name: entry.name, folder: entry.isDirectory() }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  } catch (cause) {
    const code = (cause as { code?: string }).code;
    throw loadError(relative('.', shown) || shown, `is not a readable folder (${code})`);
  }
}
