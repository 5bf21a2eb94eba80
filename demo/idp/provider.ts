import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { type Configuration, errors } from 'oidc-provider';

/** A client of the organisation's IdP: a web application that people sign in to. */
export type IdpClient = { id: string; redirectUri: string };

/** What the demo's IdP needs: passwords by user, and the services that access tokens may be for. */
export type IdpOptions = {
  issuer: string;
  users: Record<string, string>;
  clients: IdpClient[];
  /** Audiences of access tokens (RFC 8707), e.g. the revocation service of a tenant. */
  resources: string[];
};

/**
 * The organisation's identity provider: a real OpenID provider (oidc-provider) with code flow and
 * PKCE, ES256, and a sign-in page that asks for name and password.
 */
export async function createIdp(options: IdpOptions): Promise<Server> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const provider = new Provider(
    options.issuer,
    configuration(options, await exportJWK(privateKey)),
  );
  const callback = provider.callback();
  return createServer((request, response) => {
    if (!request.url?.startsWith('/sign-in/')) {
      void callback(request, response);
      return;
    }
    signIn(provider, options.users, request, response).catch(() => {
      if (!response.headersSent) response.writeHead(400);
      response.end('This sign-in is over. Start again.\n');
    });
  });
}

function configuration(options: IdpOptions, signingKey: object): Configuration {
  return {
    clients: options.clients.map(({ id, redirectUri }) => ({
      client_id: id,
      // "native" would ask for consent at every sign-in.
      application_type: 'web',
      token_endpoint_auth_method: 'none',
      redirect_uris: [redirectUri],
      response_types: ['code'],
      grant_types: ['authorization_code'],
      id_token_signed_response_alg: 'ES256',
    })),
    jwks: { keys: [{ ...signingKey, alg: 'ES256', use: 'sig' }] },
    cookies: { keys: [crypto.randomUUID()] },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    interactions: { url: (_ctx, interaction) => `/sign-in/${interaction.uid}` },
    pkce: { required: () => true },
    conformIdTokenClaims: false,
    ttl: {
      AccessToken: 300,
      IdToken: 300,
      AuthorizationCode: 60,
      Session: 3_600,
      Grant: 3_600,
      Interaction: 600,
    },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => [],
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => {
          if (!options.resources.includes(resource)) throw new errors.InvalidTarget();
          return {
            scope: 'remit',
            audience: resource,
            accessTokenTTL: 300,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'ES256' } },
          };
        },
      },
    },
    // The organisation's own applications need no consent page.
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client?.clientId as string,
        accountId: ctx.oidc.session?.accountId as string,
      });
      grant.addOIDCScope('openid');
      for (const resource of options.resources) grant.addResourceScope(resource, 'remit');
      await grant.save();
      return grant;
    },
  };
}

async function signIn(
  provider: Provider,
  users: Record<string, string>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'POST') {
    await provider.interactionDetails(request, response);
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    response.end(PAGE);
    return;
  }
  const form = new URLSearchParams(await readForm(request));
  const name = form.get('name') ?? '';
  if (
    !passwordMatches(
      Object.hasOwn(users, name) ? users[name] : undefined,
      form.get('password') ?? '',
    )
  ) {
    response.writeHead(403, { 'content-type': 'text/plain; charset=utf-8' });
    response.end('Name or password is wrong.\n');
    return;
  }
  await provider.interactionFinished(request, response, { login: { accountId: name } });
}

async function readForm(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > 4_096) throw new Error('the form is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function passwordMatches(expected: string | undefined, given: string): boolean {
  const a = Buffer.alloc(128);
  const b = Buffer.alloc(128);
  a.write(expected ?? 'no such user');
  b.write(given);
  return timingSafeEqual(a, b) && expected !== undefined;
}

const PAGE = `<!doctype html><html lang="en"><title>Sign in to Acme</title>
<form method="post"><h1>Acme</h1>
<label>Name <input name="name" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button>Sign in</button></form></html>`;
