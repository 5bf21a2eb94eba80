import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { PublicJwk } from '@remit/contracts';
import { fixedClock } from '@remit/testkit';
import * as dpop from 'dpop';
import { type CryptoKey, decodeJwt, exportJWK, generateKeyPair, importJWK } from 'jose';
import * as oauth from 'oauth4webapi';
import Provider from 'oidc-provider';
import * as openid from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DETAILS, ISSUER, startWorld, TOOL, type World } from './test/world.ts';

// Libraries that nobody here wrote: oauth4webapi and dpop are the client, oidc-provider is the
// organisation's IdP. They keep their own time, so this world's clock stands at the real one.
const CALLBACK = 'http://127.0.0.1:9/callback';

let world: World;
let idp: { issuer: string; server: Server; rotate: () => Promise<void> };
beforeAll(async () => {
  world = await startWorld({ clock: fixedClock(Date.now()) });
  idp = await startProvider();
  const acme = world.services.tenants.get('acme');
  if (acme) acme.body = { ...acme.body, idps: [{ issuer: idp.issuer }] };
  acme?.users.set(`${idp.issuer} alice`, { id: 'alice', status: 'active' });
});
afterAll(async () => {
  idp.server.closeAllConnections();
  await new Promise<void>((resolve) => idp.server.close(() => resolve()));
  await world[Symbol.asyncDispose]();
});

/** A real OpenID provider whose key can be rotated: the next one signs, only it is published. */
async function startProvider() {
  let handler: ReturnType<Provider['callback']> | undefined;
  const server = createServer((request, response) => void handler?.(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const rotate = async (): Promise<void> => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = { ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig' };
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: 'procurement-app',
          application_type: 'web',
          token_endpoint_auth_method: 'none',
          redirect_uris: [CALLBACK],
          response_types: ['code'],
          grant_types: ['authorization_code'],
          id_token_signed_response_alg: 'ES256',
        },
      ],
      jwks: { keys: [jwk] },
      cookies: { keys: ['of a test'] },
      ttl: { AccessToken: 60, Grant: 60, IdToken: 60, Interaction: 60, Session: 60 },
      pkce: { required: () => true },
      findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_ctx, interaction) => `/sign-in/${interaction.uid}` },
      loadExistingGrant: async (ctx) => {
        const grant = new ctx.oidc.provider.Grant({
          clientId: ctx.oidc.client?.clientId ?? '',
          accountId: ctx.oidc.session?.accountId ?? '',
        });
        grant.addOIDCScope('openid');
        await grant.save();
        return grant;
      },
    });
    const callback = provider.callback();
    handler = (request, response) => {
      if (!request.url?.startsWith('/sign-in/')) return callback(request, response);
      const login = { login: { accountId: 'alice' } };
      return provider.interactionFinished(request, response, login);
    };
  };
  await rotate();
  return { issuer, server, rotate };
}

/** Alice signs in with code flow and PKCE, as a browser would, and the launcher gets her ID token. */
async function signIn(): Promise<string> {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(idp.issuer);
  const discovery = await oauth.discoveryRequest(issuer, insecure);
  const as = await oauth.processDiscoveryResponse(issuer, discovery);
  const client: oauth.Client = { client_id: 'procurement-app' };
  const verifier = oauth.generateRandomCodeVerifier();
  const start = new URL(as.authorization_endpoint ?? '');
  start.search = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri: CALLBACK,
    response_type: 'code',
    scope: 'openid',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  }).toString();
  const parameters = oauth.validateAuthResponse(as, client, await browse(start));
  const response = await oauth.authorizationCodeGrantRequest(
    as,
    client,
    oauth.None(),
    parameters,
    CALLBACK,
    verifier,
    insecure,
  );
  const { id_token: idToken } = await oauth.processAuthorizationCodeResponse(as, client, response);
  if (!idToken) throw new Error('no ID token');
  return idToken;
}

/** Follows redirects with cookies until one leads to the callback. */
async function browse(start: URL): Promise<URL> {
  const cookies = new Map<string, string>();
  let url = start;
  for (let hop = 0; hop < 8; hop++) {
    if (url.href.startsWith(CALLBACK)) return url;
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { redirect: 'manual', headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    }
    url = new URL(response.headers.get('location') ?? '', url);
  }
  throw new Error('the sign-in goes in circles');
}

/** The issuer as a fetch: its app answers, without a port. */
const viaApp = {
  [oauth.customFetch]: async (url: string, init: oauth.CustomFetchOptions<string, never>) => {
    const { pathname } = new URL(url);
    const answer = await world.app.http.inject({
      method: init.method as 'GET' | 'POST',
      url: pathname,
      headers: init.headers,
      ...(init.body ? { payload: String(init.body) } : {}),
    });
    return new Response(answer.body, {
      status: answer.statusCode,
      headers: Object.entries(answer.headers).map(([name, value]) => [name, String(value)]),
    });
  },
};

/** The type that the revision of RFC 7523 asks for. */
const typed = {
  [oauth.modifyAssertion]: (header: Record<string, unknown>) => {
    header.typ = 'client-authentication+jwt';
  },
};

async function launch(idToken: string) {
  const as = await oauth.processDiscoveryResponse(
    new URL(ISSUER),
    await oauth.discoveryRequest(new URL(ISSUER), { algorithm: 'oauth2', ...viaApp } as never),
  );
  const client: oauth.Client = { client_id: 'procurement-agent' };
  const key = await importJWK(world.privateJwk('procurement-agent'), 'Ed25519');
  const auth = oauth.PrivateKeyJwt({ key: key as CryptoKey, kid: world.clientKey.kid }, typed);
  const keys = await oauth.generateKeyPair('ES256');
  const response = await oauth.genericTokenEndpointRequest(
    as,
    client,
    auth,
    'urn:ietf:params:oauth:grant-type:token-exchange',
    {
      subject_token: idToken,
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      resource: TOOL,
      authorization_details: JSON.stringify([
        {
          type: 'urn:remit:task:1',
          task_type: 'supplier-risk-summary',
          slots: { supplier: 'S-100' },
        },
      ]),
    },
    { DPoP: oauth.DPoP(client, keys), ...viaApp } as never,
  );
  return oauth.processGenericTokenEndpointResponse(as, client, response);
}

describe('with libraries that nobody here wrote', () => {
  it('a person signs in, a client launches, and the token is bound to its key', async () => {
    const result = await launch(await signIn());
    expect(result).toMatchObject({
      token_type: 'dpop',
      expires_in: 300,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      task: { type: 'supplier-risk-summary' },
    });
    const [kept] = await world.records(1);
    expect(kept?.record).toMatchObject({ event: 'token.issued', actor: 'procurement-agent' });
    expect(kept?.disclosures['/principal']?.value).toBe('alice');
  });

  it.each(['Ed25519', 'ES256'] as const)('a proof of dpop binds the token (%s)', async (alg) => {
    const pair = await dpop.generateKeyPair(alg);
    const proof = await dpop.generateProof(pair, `${ISSUER}/token`, 'POST');
    const { status, body } = await world.ask({ subject_token: await signIn() }, { proof });
    const [kept] = await world.records(1);
    expect([status, body.token_type]).toEqual([200, 'DPoP']);
    expect(kept?.record.token?.jkt).toBe(await dpop.calculateThumbprint(pair.publicKey));
  });

  it('openid-client launches by itself, and a tool asks about the token', async () => {
    const toolKey = await generateKeyPair('ES256', { extractable: true });
    const acme = world.services.tenants.get('acme');
    const publicJwk = (await exportJWK(toolKey.publicKey)) as PublicJwk;
    if (acme) acme.toolKeys = new Map([[TOOL, [publicJwk]]]);
    const as = async (id: string, key: CryptoKey) =>
      openid.discovery(new URL(ISSUER), id, undefined, openid.PrivateKeyJwt(key, typed), {
        algorithm: 'oauth2',
        [openid.customFetch]: viaApp[oauth.customFetch] as never,
      });
    const key = await importJWK(world.privateJwk('procurement-agent'), 'Ed25519');
    const agent = await as('procurement-agent', key as CryptoKey);
    const DPoP = openid.getDPoPHandle(agent, await openid.randomDPoPKeyPair('ES256'));
    const { access_token: token } = await openid.genericGrantRequest(
      agent,
      'urn:ietf:params:oauth:grant-type:token-exchange',
      {
        subject_token: await signIn(),
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        resource: TOOL,
        authorization_details: JSON.stringify(DETAILS),
      },
      { DPoP },
    );
    await world.records(1);

    const tool = await as(TOOL, toolKey.privateKey);
    expect(await openid.tokenIntrospection(tool, token)).toEqual({
      ...decodeJwt(token),
      active: true,
      token_type: 'DPoP',
    });
    await openid.tokenRevocation(agent, token);
    expect(world.services.asked.at(-1)).toMatchObject({
      method: 'revocation.revoke',
      body: { kind: 'token', id: decodeJwt(token).jti, by: { id: 'procurement-agent' } },
    });
    world.services.revoked = () => ({ kind: 'token', id: 'x', ancestor: false });
    expect(await openid.tokenIntrospection(tool, token)).toEqual({ active: false });
    world.services.revoked = () => undefined;
  });

  it('the IdP rotates its key, and the next sign-in is good at once', async () => {
    const before = await signIn();
    await launch(before);
    await idp.rotate();
    const result = await launch(await signIn());
    expect(result.token_type).toBe('dpop');
    await expect(launch(before)).rejects.toMatchObject({ error: 'invalid_request' });
    await world.records(3);
  });
});
