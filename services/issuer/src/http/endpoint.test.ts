import type { AgentBody } from '@remit/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectNothingChanged, ISSUER, startWorld, type World } from '../test/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const FORM = 'application/x-www-form-urlencoded';

describe('the token endpoint', () => {
  const send = async (payload: string, contentType = FORM, url = '/t/acme/token') => {
    const response = await world.app.http.inject({
      method: 'POST',
      url,
      headers: { 'content-type': contentType },
      payload,
    });
    return { status: response.statusCode, body: response.json<Record<string, unknown>>() };
  };

  it.each([
    [
      'a parameter that it does not know',
      'grant_type=x&extra=1',
      400,
      'body must NOT have additional properties',
    ],
    ['a parameter twice', 'grant_type=a&grant_type=b', 400, 'The form gives a name twice.'],
    [
      'a subject token twice',
      'subject_token=a&subject_token=b',
      400,
      'The form gives a name twice.',
    ],
    [
      'an empty parameter',
      'grant_type=',
      400,
      'body/grant_type must NOT have fewer than 1 characters',
    ],
    ['a broken escape', 'grant_type=%zz', 400, 'The form is malformed.'],
    ['bytes that are not UTF-8', 'grant_type=%ff', 400, 'The form is malformed.'],
    ['a name without a value', 'grant_type', 400, 'The form is malformed.'],
    [
      'a name that reaches a prototype',
      '__proto__=1',
      400,
      'The form has a name that is not allowed.',
    ],
    ['no body', '', 400, 'This route needs a body.'],
  ])('refuses %s', async (_, payload, status, description) => {
    await expectNothingChanged(world, async () => {
      expect(await send(payload)).toEqual({
        status,
        body: { error: 'invalid_request', error_description: description },
      });
    });
  });

  it('takes forms alone', async () => {
    for (const type of [
      'application/json',
      'text/plain',
      'multipart/form-data; boundary=x',
      `${FORM}; charset=latin1`,
    ]) {
      const { status, body } = await send('{}', type);
      expect({ status, error: body.error }, type).toEqual({
        status: 415,
        error: 'invalid_request',
      });
    }
  });

  it('refuses what is huge, and another method', async () => {
    const { status, body } = await send(`subject_token=${'x'.repeat(70_000)}`);
    expect({ status, error: body.error }).toEqual({ status: 413, error: 'invalid_request' });
    for (const method of ['GET', 'PUT', 'DELETE'] as const) {
      const response = await world.app.http.inject({ method, url: '/t/acme/token' });
      expect([response.statusCode, response.headers.allow]).toEqual([405, 'POST']);
    }
    const query = await send('grant_type=x', FORM, '/t/acme/token?grant_type=x');
    expect(query.status).toBe(400);
  });

  it('knows no tenant that it has no keys for', async () => {
    const form = await world.form();
    for (const tenant of ['nobody', 'ACME', '__proto__', 'acme%20', 'a'.repeat(40)]) {
      const { status, body } = await world.post(form, { tenant });
      expect({ status, error: body.error }, tenant).toEqual({
        status: 404,
        error: 'invalid_request',
      });
    }
    expect(world.services.asked).toEqual([]);
  });

  it('refuses a client that authenticates in no way, in two, or by another', async () => {
    const none = { client_assertion: undefined, client_assertion_type: undefined };
    const answers = [
      await world.ask(none),
      await world.post(await world.form(), { headers: { authorization: 'Basic YTpi' } }),
      await world.ask({
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer',
      }),
      await world.ask({ client_assertion: undefined }),
    ];
    for (const { status, headers, body } of answers) {
      expect([status, body.error]).toEqual([401, 'invalid_client']);
      expect(headers['cache-control']).toBe('no-store');
      expect(body).not.toHaveProperty('record_id');
    }
  });

  // Red when `rememberAssertion` is not one insert under a unique key.
  it('takes an assertion once, also of requests that come at the same time', async () => {
    const assertion = world.assertion();
    const forms = await Promise.all(
      Array.from({ length: 5 }, () => world.form({ client_assertion: assertion })),
    );
    const answers = await Promise.all(forms.map((form) => world.post(form)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      200, 401, 401, 401, 401,
    ]);
    const refused = answers.find(({ status }) => status === 401);
    expect(refused?.body).toEqual({
      error: 'invalid_client',
      error_description: 'client_assertion was used before.',
    });
    const seen: (string | undefined)[] = [];
    while (!(seen.filter((reason) => reason === 'assertion_replayed').length === 4)) {
      for (const { record } of await world.records(1)) seen.push(record.reason);
    }
    expect((await world.rows('tasks')).length).toBe(1);
  });

  it('refuses a suspended agent by name, and one that is suspended meanwhile', async () => {
    const agents = world.services.tenants.get('acme')?.agents;
    const before = agents?.get('procurement-agent');
    if (!before) throw new Error('no agent');
    const suspend = (): void => {
      agents?.set('procurement-agent', { ...before, status: 'inactive' });
    };
    suspend();
    world.services.asked.length = 0;
    await expectNothingChanged(world, async () => {
      const { status, body } = await world.ask();
      expect([status, body.error, body.reason]).toEqual([
        400,
        'unauthorized_client',
        'agent_inactive',
      ]);
    });
    agents?.set('procurement-agent', before);
    world.services.during = (method) => {
      if (method === 'revocation.check') suspend();
    };
    // Red when the facts from before the head are believed.
    await expectNothingChanged(world, async () => {
      const { body } = await world.ask();
      expect([body.error, body.reason]).toEqual(['unauthorized_client', 'agent_inactive']);
    });
    world.services.during = () => {};
    agents?.set('procurement-agent', before);
  });

  it('refuses a client whose key goes, or whose launcher goes, while it asks', async () => {
    const agents = world.services.tenants.get('acme')?.agents;
    const before = agents?.get('procurement-agent');
    if (!before) throw new Error('no agent');
    const changes: [AgentBody, string][] = [
      [{ ...before.body, keys: agents?.get('curl-agent')?.body.keys ?? [] }, 'invalid_client'],
      [{ ...before.body, launchers: [] }, 'invalid_request'],
      [{ ...before.body, task_types: [] }, 'invalid_authorization_details'],
    ];
    for (const [body, error] of changes) {
      world.services.asked.length = 0;
      world.services.during = (method) => {
        if (method === 'revocation.check') agents?.set('procurement-agent', { ...before, body });
      };
      await expectNothingChanged(world, async () => {
        expect((await world.ask()).body.error).toBe(error);
      });
      world.services.during = () => {};
      agents?.set('procurement-agent', before);
    }
  });

  it('refuses the ID token of an IdP that goes while it asks', async () => {
    const acme = world.services.tenants.get('acme');
    if (!acme) throw new Error('no tenant');
    const before = acme.body;
    world.services.asked.length = 0;
    world.services.during = (method) => {
      if (method === 'revocation.check') acme.body = { ...before, idps: [] };
    };
    // Red when only the facts from before the head are asked about the IdP.
    await expectNothingChanged(world, async () => {
      const { body } = await world.ask();
      expect(body.error_description).toBe('The ID token comes from an unknown issuer.');
    });
    world.services.during = () => {};
    acme.body = before;
  });

  it('is not what a request for another issuer may be replayed to', async () => {
    const elsewhere = world.assertion({ aud: ISSUER.replace('acme', 'globex') });
    const { status, body } = await world.ask({ client_assertion: elsewhere });
    expect([status, body.error_description]).toEqual([
      401,
      'client_assertion has another audience.',
    ]);
  });
});
