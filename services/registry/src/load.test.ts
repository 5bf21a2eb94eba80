import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createDatabase, type Database, readBody, requireKind } from '@remit/service-kit';
import { type TestInfra, testInfra } from '@remit/testkit';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createStoreDirectory } from './store/directory.ts';
import type { RegistryTables } from './store/tables.ts';
import { ACME, GLOBEX, LOAD_ENV, load, silent, testConfig, writeFolder } from './test/fixture.ts';

let infra: TestInfra;
let database: Database<RegistryTables>;

beforeAll(async () => {
  infra = await testInfra({ services: ['registry'] });
  database = await createDatabase<RegistryTables>({
    url: infra.databaseUrl('registry'),
    schema: 'registry',
    log: silent,
    insecure: true,
  });
});
afterAll(async () => {
  await database?.close();
  await infra?.[Symbol.asyncDispose]();
});

const changed = (files: Record<string, string>, gone: string[] = []): Record<string, string> => {
  const all = { ...ACME, ...files };
  return Object.fromEntries(Object.entries(all).filter(([path]) => !gone.includes(path)));
};

async function everything(): Promise<string> {
  const tables = ['tenants', 'bodies', 'agents', 'users', 'roles', 'user_roles', 'outbox'] as const;
  return database.withTenant('acme', async (trx) => {
    const all = [];
    for (const table of tables) {
      all.push((await sql`select * from ${sql.table(table)} order by 1, 2`.execute(trx)).rows);
    }
    return JSON.stringify(all);
  });
}

describe('a load', () => {
  it('creates what the folder says, under one revision, with one event for each', async () => {
    const [applied] = await load(infra, ACME);
    expect(applied).toMatchObject({ tenant: 'acme', revision: 1 });
    expect(applied?.changes.map(({ entity, id, change }) => `${entity} ${id} ${change}`)).toEqual([
      'tenant acme created',
      'role reader created',
      'role writer created',
      'task-type look-up created',
      'tool erp created',
      'agent helper created',
      'user alice created',
      'user dora created',
      'user erin created',
      'role writer changed',
    ]);
    const events = await database.withTenant('acme', (trx) =>
      trx.selectFrom('outbox').select(['seq', 'subject']).orderBy('seq').execute(),
    );
    expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(events[3]?.subject).toBe('remit.registry.acme.task-type');
  });

  it('changes nothing the second time', async () => {
    const before = await everything();
    const [applied] = await load(infra, ACME);
    expect(applied).toEqual({ tenant: 'acme', revision: 1, changes: [] });
    expect(await everything()).toBe(before);
  });

  // Red when a change of the one leaves the other as it was: the pdp takes no envelope of another version.
  it('gives an agent and its envelope their next version together, when either changes', async () => {
    const wider = (ACME['acme/agents/helper.yaml'] as string).replace(
      'things.read]',
      'things.read, things.write]',
    );
    const [applied] = await load(infra, changed({ 'acme/agents/helper.yaml': wider }));
    expect(applied?.changes).toEqual([{ entity: 'agent', id: 'helper', change: 'changed' }]);
    expect(await agent()).toMatchObject({ version: 2, envelope_version: 2 });
    const owner = (ACME['acme/agents/helper.yaml'] as string).replace(
      'owner: platform',
      'owner: team',
    );
    await load(infra, changed({ 'acme/agents/helper.yaml': owner }));
    expect(await agent()).toMatchObject({ version: 3, envelope_version: 3 });
    await load(infra, ACME);
    expect(await agent()).toMatchObject({ version: 4, envelope_version: 4 });
  });

  it('removes what the folder does not name any more, and takes its versions up when it returns', async () => {
    const less = changed({ 'acme/users.yaml': '[]', 'acme/groups.yaml': '[]' }, [
      'acme/agents/helper.yaml',
      'acme/roles/writer.yaml',
    ]);
    const [applied] = await load(infra, less);
    expect(applied?.changes.map(({ entity, id, change }) => `${entity} ${id} ${change}`)).toEqual([
      'agent helper removed',
      'user alice removed',
      'user dora removed',
      'user erin removed',
      'role writer changed',
      'role writer removed',
    ]);
    const directory = createStoreDirectory(database);
    const found = await directory.lookup('acme', {
      actors: ['helper'],
      user: { iss: 'https://idp.test', sub: 'a-1' },
    });
    expect(found.actors).toEqual([]);
    expect(found.user).toBeUndefined();
    const [again] = await load(infra, ACME);
    expect(again?.changes).toContainEqual({ entity: 'agent', id: 'helper', change: 'created' });
    expect(await agent()).toMatchObject({ status: 'active', version: 5, envelope_version: 5 });
  });

  it('lets an identity move from one user to another', async () => {
    const moved = `
- { id: bob, identities: [{ issuer: "https://idp.test", subject: a-1 }] }
`;
    await load(infra, changed({ 'acme/users.yaml': moved }));
    const directory = createStoreDirectory(database);
    const found = await directory.lookup('acme', {
      actors: [],
      user: { iss: 'https://idp.test', sub: 'a-1' },
    });
    expect(found.user?.id).toBe('bob');
    await load(infra, ACME);
  });

  it('fills in what a file leaves out with the narrow choice', async () => {
    const directory = createStoreDirectory(database);
    const found = await directory.lookup('acme', { actors: ['helper'], task_type: 'look-up' });
    const digest = found.actors[0]?.body as string;
    const body = requireKind(
      readBody(await directory.bodyText('acme', digest), digest),
      'agent',
      digest,
    );
    expect(body).toMatchObject({ bearer: false, free_tasks: false, relay: false, launchers: [] });
    const taskType = await directory.body('acme', found.task_type?.body as string, 'task-type');
    expect(taskType).toMatchObject({
      depth_max: 0,
      single_use: false,
      links: false,
      token_seconds: 300,
    });
  });

  it('keeps who may be named next, with its proof keys, and the keys of a tool', async () => {
    const key = (x: string): string => `{ kty: OKP, crv: Ed25519, x: ${x} }`;
    const proof = key('7hdhnM7rqmUxVdQJZvE8RBhQY3x9_1xpdCwPGgd5xpo');
    await load(
      infra,
      changed({
        'acme/agents/helper.yaml': `${ACME['acme/agents/helper.yaml']}\nproof_keys: [${proof}]\n`,
        'acme/task-types/look-up.yaml': `${ACME['acme/task-types/look-up.yaml']}\nmay_act: [helper]\n`,
        'acme/tools.yaml': `
- { id: erp, audience: "https://erp.test", actions: [things.read], keys: [${proof}] }
`,
      }),
    );
    const directory = createStoreDirectory(database);
    const found = await directory.lookup('acme', {
      actors: ['helper'],
      task_type: 'look-up',
      audience: 'https://erp.test',
    });
    const keys = [expect.objectContaining({ x: expect.stringMatching(/^7hdh/) })];
    const body = await directory.bodyText('acme', found.actors[0]?.body as string);
    expect(readBody(body, found.actors[0]?.body as string)).toMatchObject({ proof_keys: keys });
    const task = await directory.body('acme', found.task_type?.body as string, 'task-type');
    expect(task.may_act).toEqual(['helper']);
    const tool = await directory.body('acme', found.tool?.body as string, 'tool');
    expect(tool.keys).toEqual(keys);
    await load(infra, ACME);
  });

  it.each([
    ['an agent that is not there', 'may_act: [nobody]', 'which is not in agents/'],
    ['an agent without proof keys', 'may_act: [helper]', 'which has no proof_keys'],
  ])('refuses to let a task be handed to %s', async (_, line, why) => {
    const before = await everything();
    const file = `${ACME['acme/task-types/look-up.yaml']}\n${line}\n`;
    await expect(
      load(infra, changed({ 'acme/task-types/look-up.yaml': file })),
    ).rejects.toMatchObject({ code: 'LOAD_INVALID', message: expect.stringContaining(why) });
    expect(await everything()).toBe(before);
  });

  it('keeps the budgets of a task type as they are declared', async () => {
    const file = 'acme/task-types/look-up.yaml';
    const budget = { name: 'looks', per: 'user', unit: 'calls', limit: 2.5, every_seconds: 60 };
    await load(infra, changed({ [file]: `${ACME[file]}\nbudgets: [${JSON.stringify(budget)}]\n` }));
    const directory = createStoreDirectory(database);
    const found = await directory.lookup('acme', { actors: [], task_type: 'look-up' });
    const task = await directory.body('acme', found.task_type?.body as string, 'task-type');
    expect(task.budgets).toEqual([budget]);
    await load(infra, ACME);
  });

  // Each row goes red when its rule is taken out of `checkBudgets` or the schema.
  it.each([
    [
      'twice',
      '{ name: a, per: task, unit: calls, limit: 1 }, { name: a, per: user, unit: calls, limit: 1 }',
      'names a twice',
    ],
    [
      'of five decimals',
      '{ name: a, per: task, unit: calls, limit: 0.00001 }',
      'more than four decimals',
    ],
    ['below zero', '{ name: a, per: task, unit: calls, limit: -1 }', '/budgets/0/limit'],
    ['for somebody else', '{ name: a, per: group, unit: calls, limit: 1 }', '/budgets/0/per'],
    [
      'of money without a path',
      '{ name: a, per: task, unit: EUR, limit: 1 }',
      'counts calls, or a path',
    ],
    [
      'of calls with a path',
      '{ name: a, per: task, unit: calls, path: amount, limit: 1 }',
      'counts calls, or a path',
    ],
    [
      'of an argument that a call may lack',
      '{ name: a, per: task, unit: EUR, path: amount, limit: 1 }',
      'does not require amount',
    ],
  ])('refuses a budget %s', async (_, budgets, why) => {
    const file = 'acme/task-types/look-up.yaml';
    const before = await everything();
    await expect(
      load(infra, changed({ [file]: `${ACME[file]}\nbudgets: [${budgets}]\n` })),
    ).rejects.toMatchObject({ code: 'LOAD_INVALID', message: expect.stringContaining(why) });
    expect(await everything()).toBe(before);
  });

  it('refuses a user’s or an agent’s budget that two task types declare differently', async () => {
    const file = 'acme/task-types/look-up.yaml';
    const text = ACME[file] as string;
    const budget = (limit: number, per: string) =>
      `budgets: [{ name: looks, per: ${per}, unit: calls, limit: ${limit} }]\n`;
    const both = (limit: number, per: string) => ({
      [file]: text + budget(1, per),
      'acme/task-types/other.yaml': text.replace('id: look-up', 'id: other') + budget(limit, per),
    });
    for (const per of ['user', 'agent']) {
      await expect(load(infra, changed(both(2, per)))).rejects.toMatchObject({
        code: 'LOAD_INVALID',
        message: expect.stringContaining(`says of the budget looks per ${per}`),
      });
      await load(infra, changed(both(1, per)));
    }
    await load(infra, changed(both(2, 'task')));
    await load(infra, ACME);
  });

  it('runs as a program and says what it did', async () => {
    const dir = join(infra.tmpDir, 'program');
    writeFolder(dir, { ...ACME, ...GLOBEX });
    const run = promisify(execFile);
    const program = join(import.meta.dirname, 'load.ts');
    const done = await run(process.execPath, [program, '--dir', dir], { env: environment() });
    expect(done.stdout).toMatch(
      /^acme: nothing changed, revision \d+\nglobex: 2 changes, revision 1\n$/,
    );
    expect(done.stderr).toBe('');
    writeFolder(dir, changed({ 'acme/users.yaml': '- { id: alice, surprise: 1 }' }));
    await expect(
      run(process.execPath, [program, '--dir', dir], { env: environment() }),
    ).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^registry load: acme\/users.yaml: \/0 must/),
    });
  });
});

describe('a folder is refused', () => {
  const agentFile = ACME['acme/agents/helper.yaml'] as string;
  const taskFile = ACME['acme/task-types/look-up.yaml'] as string;
  it.each([
    [
      'an unknown field',
      { 'acme/users.yaml': '- { id: a, identities: [], x: 1 }' },
      'acme/users.yaml: /0 must NOT have additional properties',
    ],
    [
      'an unknown file',
      { 'acme/user.yaml': '[]' },
      'acme/user.yaml: is not a part of a tenant folder',
    ],
    [
      'a role that there is not',
      { 'acme/users.yaml': '- { id: a, identities: [], roles: [boss] }' },
      'acme/users.yaml: /0/roles names boss, which is not in roles/',
    ],
    [
      'a group with an unknown role',
      { 'acme/groups.yaml': '- { id: g, roles: [boss] }' },
      'acme/groups.yaml: /0/roles names boss, which is not in roles/',
    ],
    [
      'an unknown task type',
      { 'acme/agents/helper.yaml': agentFile.replace('[look-up]', '[other]') },
      'acme/agents/helper.yaml: /task_types names other, which is not in task-types/',
    ],
    [
      'an identity of a foreign IdP',
      {
        'acme/users.yaml': '- { id: a, identities: [{ issuer: "https://evil.test", subject: x }] }',
      },
      'acme/users.yaml: /0/identities names https://evil.test, which is not in tenant.yaml',
    ],
    [
      'one identity for two users',
      {
        'acme/users.yaml':
          '- { id: a, identities: [{ issuer: "https://idp.test", subject: x }] }\n- { id: b, identities: [{ issuer: "https://idp.test", subject: x }] }',
      },
      'acme/users.yaml: /identities names https://idp.test x twice',
    ],
    [
      'an id that is not the file name',
      { 'acme/roles/other.yaml': 'id: x\npermissions: []' },
      'acme/roles/other.yaml: /id is not the name of the file',
    ],
    [
      'a private key',
      { 'acme/agents/helper.yaml': agentFile.replace('{ kty', '{ d: AAAA, kty') },
      'acme/agents/helper.yaml: /keys/0 must NOT have additional properties',
    ],
    [
      'an envelope that is no scope',
      { 'acme/agents/helper.yaml': agentFile.replace('args: []', 'args: maybe') },
      /^acme\/agents\/helper.yaml: \/envelope is not a scope: /,
    ],
    [
      'a placeholder without a slot',
      { 'acme/task-types/look-up.yaml': taskFile.replace('{thing}', '{other}') },
      'acme/task-types/look-up.yaml: {other} in "erp/things/{other}" has no slot',
    ],
    [
      'a placeholder in part of a segment',
      { 'acme/task-types/look-up.yaml': taskFile.replace('{thing}', 'x-{thing}') },
      'acme/task-types/look-up.yaml: {thing} in "erp/things/x-{thing}" is not one whole segment or value',
    ],
    [
      'a slot that is not used',
      { 'acme/task-types/look-up.yaml': taskFile.replace('{thing}', '*') },
      'acme/task-types/look-up.yaml: /slots/thing stands nowhere in the permissions',
    ],
    [
      'a duplicate key',
      { 'acme/tools.yaml': '- { id: a, id: b, audience: c, actions: [] }' },
      /^acme\/tools.yaml: Map keys must be unique/,
    ],
    ['an alias', { 'acme/groups.yaml': '- &a { id: g, roles: [] }\n- *a' }, /^acme\/groups.yaml: /],
    [
      'a variable that could be a secret',
      { 'acme/tools.yaml': '- { id: a, audience: "${env:REMIT_DATABASE_URL}", actions: [] }' },
      'acme/tools.yaml: names the variable REMIT_DATABASE_URL; only REMIT_LOAD_… may be used',
    ],
    [
      'a variable that is not set',
      { 'acme/tools.yaml': '- { id: a, audience: "${env:REMIT_LOAD_X}", actions: [] }' },
      'acme/tools.yaml: needs the environment variable REMIT_LOAD_X, which is not set',
    ],
    [
      'a tenant of another name',
      { 'acme/tenant.yaml': 'id: globex\nidps: []\nadmin_groups: {}' },
      'acme/tenant.yaml: /id is not the name of the folder',
    ],
  ])('with %s, and nothing changes', async (_, files, message) => {
    const before = await everything();
    await expect(
      load(infra, changed(files as unknown as Record<string, string>)),
    ).rejects.toMatchObject({
      code: 'LOAD_INVALID',
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    });
    expect(await everything()).toBe(before);
  });
});

async function agent() {
  return database.withTenant('acme', (trx) =>
    trx.selectFrom('agents').selectAll().where('id', '=', 'helper').executeTakeFirst(),
  );
}

function environment(): Record<string, string> {
  const config = testConfig(infra);
  return {
    PATH: process.env['PATH'] ?? '',
    ...LOAD_ENV,
    REMIT_PUBLIC_URL: config.publicUrl,
    REMIT_DATABASE_URL: config.databaseUrl,
    REMIT_NATS_SEED: config.natsSeed,
    REMIT_TRUST_FILE: config.trustFile,
    REMIT_SPOOL_DIR: config.spoolDir,
    REMIT_INSECURE_DATABASE: 'true',
    REMIT_BUS_SIGNER_FILE: config.busSignerFile,
    REMIT_ENVELOPE_SIGNER_FILE: config.envelopeSignerFile,
  };
}
