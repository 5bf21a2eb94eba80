import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { post, startApplication } from '../test/authzen-world.ts';
import type { World } from '../test/world.ts';

// AuthZEN's interop scenario of the shared todo list, its 40 evaluations and 3 batches, byte for byte:
// rebuilt from the users, roles and rules that it describes, in the order of its members. The answer
// is compared as its runner does, as text. (The batches are in the final form, with arrays; the working
// group published the three of them for an earlier draft as objects.)

const USERS = {
  rick: { n: 0, email: 'rick@the-citadel.com', roles: ['admin', 'evil_genius'] },
  morty: { n: 1, email: 'morty@the-citadel.com', roles: ['editor'] },
  summer: { n: 2, email: 'summer@the-smiths.com', roles: ['editor'] },
  beth: { n: 3, email: 'beth@the-smiths.com', roles: ['viewer'] },
  jerry: { n: 4, email: 'jerry@the-smiths.com', roles: ['viewer'] },
} as const;
type User = keyof typeof USERS;
const ALL = Object.keys(USERS) as User[];

/** A subject of the scenario: the identity provider's own encoding of a UUID that differs in one digit. */
const pid = (user: User) =>
  Buffer.from(`\n$fd${USERS[user].n}614d3-c39a-4781-b7bd-8b96f5a5100d\u0012\u0005local`, 'latin1')
    .toString('base64')
    .replace(/=+$/, '');

const TODO = '7240d0db-8ff0-41ec-98b2-34a096273b9f';
const request = (user: User, action: string, resource: object) => ({
  subject: { type: 'user', id: pid(user) },
  action: { name: action },
  resource,
});
const todoOf = (owner: User) => ({
  type: 'todo',
  id: TODO,
  properties: { ownerID: USERS[owner].email },
});

const MAY_CREATE: readonly User[] = ['rick', 'morty', 'summer'];

/** The eight questions of one user, in their order. */
function vectorsOf(user: User): { request: object; expected: boolean }[] {
  // Rick's own todo and somebody else's; everybody else's is Rick's, then their own.
  const [first, second]: [User, User] = user === 'rick' ? ['rick', 'morty'] : ['rick', user];
  const mayChange = (owner: User) =>
    user === 'rick' || (owner === user && MAY_CREATE.includes(user));
  return [
    {
      request: request(user, 'can_read_user', { type: 'user', id: USERS.beth.email }),
      expected: true,
    },
    {
      request: request(user, 'can_read_user', { type: 'user', id: USERS[user].email }),
      expected: true,
    },
    { request: request(user, 'can_read_todos', { type: 'todo', id: 'todo-1' }), expected: true },
    {
      request: request(user, 'can_create_todo', { type: 'todo', id: 'todo-1' }),
      expected: MAY_CREATE.includes(user),
    },
    ...['can_update_todo', 'can_delete_todo'].flatMap((action) =>
      [first, second].map((owner) => ({
        request: request(user, action, todoOf(owner)),
        expected: mayChange(owner),
      })),
    ),
  ];
}

const batch = (user: User, owners: [User, User]) => ({
  subject: { type: 'user', identity: pid(user), id: pid(user) },
  action: { name: 'can_update_todo' },
  evaluations: owners.map((owner) => ({ resource: todoOf(owner) })),
});
const BATCHES: [object, boolean[]][] = [
  [batch('rick', ['rick', 'jerry']), [true, true]],
  [batch('morty', ['rick', 'morty']), [false, true]],
  [batch('jerry', ['rick', 'jerry']), [false, false]],
];

const may = (...actions: string[]) => [{ actions, resources: ['**'], args: 'any' as const }];
const READ = ['can_read_user', 'can_read_todos'];
const EDIT = [...READ, 'can_create_todo', 'can_update_todo', 'can_delete_todo'];
const OWNER = `context.user in Role::"editor" &&
  context.attested.resource.hasTag("ownerID") && context.user.hasTag("email") &&
  context.attested.resource.getTag("ownerID") == context.user.getTag("email")`;

let world: World;
beforeAll(async () => {
  world = await startApplication({
    actions: EDIT,
    users: Object.fromEntries(
      ALL.map((user) => [
        pid(user),
        { roles: [...USERS[user].roles], attributes: { email: USERS[user].email } },
      ]),
    ),
    roles: {
      viewer: may(...READ),
      editor: may(...EDIT),
      admin: may(...EDIT),
      evil_genius: may(...EDIT),
    },
    policies: `
      @id("update-own") forbid (principal, action == Action::"can_update_todo", resource)
      unless { context.user in Role::"evil_genius" || (${OWNER}) };
      @id("delete-own") forbid (principal, action == Action::"can_delete_todo", resource)
      unless { context.user in Role::"admin" || (${OWNER}) };`,
  });
});
afterAll(() => world?.[Symbol.asyncDispose]());

describe('the todo list of the interop', () => {
  it('has the subjects that were published', () => {
    expect(ALL.map(pid)).toEqual([
      'CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs',
      'CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs',
      'CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs',
      'CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs',
      'CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs',
    ]);
  });

  it('is decided as published, 40 times, with nothing else in the answer', async () => {
    const vectors = ALL.flatMap(vectorsOf);
    expect(vectors).toHaveLength(40);
    for (const { request: body, expected } of vectors) {
      const answer = await post(world, 'evaluation', body);
      expect([answer.statusCode, answer.body], JSON.stringify(body)).toEqual([
        200,
        `{"decision":${expected}}`,
      ]);
    }
  });

  it('is decided as published in 3 batches', async () => {
    for (const [body, expected] of BATCHES) {
      const answer = await post(world, 'evaluations', body);
      expect([answer.statusCode, answer.body]).toEqual([
        200,
        JSON.stringify({ evaluations: expected.map((decision) => ({ decision })) }),
      ]);
    }
  });
});
