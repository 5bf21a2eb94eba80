import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DETAILS, expectNothingChanged, startWorld, TOOL, type World } from '../test/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.asked.length = 0;
});

const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const details = (...list: unknown[]) => ({ authorization_details: JSON.stringify(list) });
const task = (more: Record<string, unknown>) => details({ ...DETAILS[0], ...more });
const permission = (more: Record<string, unknown>) =>
  details(DETAILS[0], {
    type: 'urn:remit:capability:1',
    actions: ['suppliers.read'],
    resources: ['erp/suppliers/S-100'],
    args: [],
    ...more,
  });
const raw = (text: string) => ({ authorization_details: text });

describe('a request of an authenticated client', () => {
  // Every row: the parameters, the OAuth error, the sentence. Each leaves one record with the client.
  it.each([
    [
      'another grant type',
      { grant_type: 'client_credentials' },
      'unsupported_grant_type',
      'The grant type is not supported.',
    ],
    ['no grant type', { grant_type: undefined }, 'invalid_request', 'grant_type is missing.'],
    [
      'a scope',
      { scope: 'suppliers' },
      'invalid_scope',
      'Ask with authorization_details, not with scope.',
    ],
    [
      'another requested token type',
      { requested_token_type: JWT },
      'invalid_request',
      'requested_token_type is not supported.',
    ],
    [
      'no subject token',
      { subject_token: undefined },
      'invalid_request',
      'subject_token is missing.',
    ],
    [
      'no subject token type',
      { subject_token_type: undefined },
      'invalid_request',
      'subject_token_type is missing.',
    ],
    [
      'a subject token type that has no meaning here',
      { subject_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'invalid_request',
      'subject_token_type is not supported.',
    ],
    [
      'a subject token type that reaches a prototype',
      { subject_token_type: 'constructor' },
      'invalid_request',
      'subject_token_type is not supported.',
    ],
    [
      'an actor token',
      { actor_token: 'x', actor_token_type: JWT },
      'invalid_request',
      'actor_token has no meaning beside an ID token.',
    ],
    [
      'an actor token type alone',
      { actor_token_type: JWT },
      'invalid_request',
      'actor_token has no meaning beside an ID token.',
    ],
    ['no resource', { resource: undefined }, 'invalid_target', 'A token has one resource.'],
    [
      'two resources',
      { resource: [TOOL, 'https://b.test'] },
      'invalid_target',
      'A token has one resource.',
    ],
    [
      'the same resource twice',
      { resource: [TOOL, TOOL] },
      'invalid_target',
      'A token has one resource.',
    ],
    ['an audience', { audience: 'erp' }, 'invalid_target', 'Name the target with resource.'],
    [
      'a relative resource',
      { resource: '/erp' },
      'invalid_target',
      'resource is not an absolute URI without fragment.',
    ],
    [
      'a resource with a fragment',
      { resource: `${TOOL}#x` },
      'invalid_target',
      'resource is not an absolute URI without fragment.',
    ],
    [
      'a resource with an empty fragment',
      { resource: `${TOOL}#` },
      'invalid_target',
      'resource is not an absolute URI without fragment.',
    ],
    [
      'no details',
      { authorization_details: undefined },
      'invalid_request',
      'authorization_details is missing.',
    ],
    [
      'details that are not JSON',
      raw('[{'),
      'invalid_authorization_details',
      'authorization_details is not well-formed JSON.',
    ],
    [
      'details that are no array',
      raw('{}'),
      'invalid_authorization_details',
      'authorization_details is not an array.',
    ],
    [
      'details with a member twice',
      raw('[{"type":"a","type":"urn:remit:task:1"}]'),
      'invalid_authorization_details',
      'authorization_details is not well-formed JSON.',
    ],
    [
      'details that are nested too deep',
      raw(`${'['.repeat(40)}${']'.repeat(40)}`),
      'invalid_authorization_details',
      'authorization_details is not well-formed JSON.',
    ],
    [
      'details with __proto__',
      raw('[{"__proto__":{}}]'),
      'invalid_authorization_details',
      'authorization_details is not well-formed JSON.',
    ],
    [
      'details that are texts',
      details('x'),
      'invalid_authorization_details',
      'Each authorization detail is an object.',
    ],
    ['no task', details(), 'invalid_authorization_details', 'A urn:remit:task:1 is needed.'],
    [
      'two tasks',
      details(DETAILS[0], DETAILS[0]),
      'invalid_authorization_details',
      'One urn:remit:task:1 is enough.',
    ],
    [
      'an unknown type',
      details(DETAILS[0], { type: 'x' }),
      'invalid_authorization_details',
      'An authorization detail has an unknown type.',
    ],
    [
      'a type in another case',
      details({ ...DETAILS[0], type: 'URN:REMIT:TASK:1' }),
      'invalid_authorization_details',
      'An authorization detail has an unknown type.',
    ],
    [
      'an unknown member of the task',
      task({ until: 9 }),
      'invalid_authorization_details',
      'The task is not well-formed.',
    ],
    [
      'a common RFC 9396 member',
      task({ locations: [TOOL] }),
      'invalid_authorization_details',
      'The task is not well-formed.',
    ],
    [
      'no slots',
      task({ slots: undefined }),
      'invalid_authorization_details',
      'The task is not well-formed.',
    ],
    [
      'slots that are a list',
      task({ slots: [] }),
      'invalid_authorization_details',
      'The task is not well-formed at /slots.',
    ],
    [
      'a slot that is an object',
      task({ slots: { supplier: {} } }),
      'invalid_authorization_details',
      'The task is not well-formed at /slots/supplier.',
    ],
    [
      'a slot with a name in capitals',
      task({ slots: { Supplier: 'S-1' } }),
      'invalid_authorization_details',
      'The task is not well-formed at /slots.',
    ],
    [
      'an empty slot',
      task({ slots: { supplier: '' } }),
      'invalid_authorization_details',
      'The task is not well-formed at /slots/supplier.',
    ],
    [
      'narrow as text',
      task({ narrow: 'true' }),
      'invalid_authorization_details',
      'The task is not well-formed at /narrow.',
    ],
    [
      'narrow with nothing to narrow',
      task({ narrow: true }),
      'invalid_authorization_details',
      'narrow needs a list of permissions.',
    ],
    [
      'a permission without args',
      permission({ args: undefined }),
      'invalid_authorization_details',
      'Permission 0 is not well-formed.',
    ],
    [
      'a permission with an unknown member',
      permission({ locations: [] }),
      'invalid_authorization_details',
      'Permission 0 is not well-formed.',
    ],
    [
      'a permission with an unknown test',
      permission({ constraints: { a: { below: 1 } }, args: ['a'] }),
      'invalid_authorization_details',
      'Permission 0 is not well-formed.',
    ],
    [
      'a resource that climbs',
      permission({ resources: ['erp/../x'] }),
      'invalid_authorization_details',
      'Permission 0 is not well-formed.',
    ],
    [
      'an encoded resource',
      permission({ resources: ['erp/%2e%2e/x'] }),
      'invalid_authorization_details',
      'Permission 0 is not well-formed.',
    ],
    [
      'too many permissions',
      details(
        DETAILS[0],
        ...Array.from({ length: 65 }, () => ({ type: 'urn:remit:capability:1' })),
      ),
      'invalid_authorization_details',
      'Too many permissions are asked for.',
    ],
    [
      'a target that the registry does not know',
      { resource: 'https://other.test' },
      'invalid_target',
      'The target is unknown.',
    ],
    [
      'a target with a slash more',
      { resource: `${TOOL}/` },
      'invalid_target',
      'The target is unknown.',
    ],
    [
      'a target in another case',
      { resource: TOOL.toUpperCase() },
      'invalid_target',
      'The target is unknown.',
    ],
    [
      'a task type that does not exist',
      task({ task_type: 'x' }),
      'invalid_authorization_details',
      'The client may not start this task type.',
    ],
    [
      'a task type of somebody else',
      task({ task_type: 'never-started' }),
      'invalid_authorization_details',
      'The client may not start this task type.',
    ],
  ])('with %s is refused', async (_, form, error, description) => {
    await expectNothingChanged(world, async () => {
      const { status, headers, body } = await world.ask(form);
      const [kept] = await world.records(1);
      expect({ status, error: body.error, description: body.error_description }).toEqual({
        status: 400,
        error,
        description,
      });
      expect(headers['cache-control']).toBe('no-store');
      expect(body.record_id).toBe(kept?.record.id);
      expect(kept?.record).toMatchObject({
        event: 'token.refused',
        decision: 'deny',
        actor: 'procurement-agent',
      });
    });
  });
});
