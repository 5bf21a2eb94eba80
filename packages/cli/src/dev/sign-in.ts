import * as oauth from 'oauth4webapi';
import { CliError } from '../error.ts';

/** Who signs in, to which application, and for which service the access token is (RFC 8707). */
export type SignInOptions = {
  issuer: string;
  clientId: string;
  redirectUri: string;
  user: string;
  password: string;
  resource?: string;
};

export type SignedIn = { idToken: string; accessToken: string };

const MAX_HOPS = 8;

/**
 * Signs a development user in as a browser would: authorization code flow with PKCE (RFC 7636),
 * following redirects by hand with a cookie jar and filling in the sign-in form. For `remit dev`
 * and the demo only. Checks state, issuer, nonce and the ID token's claims; over loopback HTTP.
 * Throws CliError `SIGN_IN_FAILED`.
 */
export async function signIn(options: SignInOptions): Promise<SignedIn> {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(options.issuer);
  const server = await oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, insecure),
  );
  const client: oauth.Client = { client_id: options.clientId };
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const nonce = oauth.generateRandomNonce();

  const authorize = new URL(server.authorization_endpoint as string);
  authorize.search = new URLSearchParams({
    client_id: options.clientId,
    redirect_uri: options.redirectUri,
    response_type: 'code',
    scope: options.resource ? 'openid remit' : 'openid',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...(options.resource ? { resource: options.resource } : {}),
  }).toString();

  const landed = await browse(authorize, options);
  const parameters = oauth.validateAuthResponse(server, client, landed, state);
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    oauth.None(),
    parameters,
    options.redirectUri,
    verifier,
    {
      ...insecure,
      ...(options.resource ? { additionalParameters: { resource: options.resource } } : {}),
    },
  );
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, {
    expectedNonce: nonce,
    requireIdToken: true,
  });
  return { idToken: tokens.id_token as string, accessToken: tokens.access_token };
}

/** Follows redirects from `start` until the application's redirect URI, signing in on the way. */
async function browse(start: URL, options: SignInOptions): Promise<URL> {
  const cookies = new Map<string, string>();
  let url = start;
  let form: URLSearchParams | undefined;
  for (let hop = 0; hop < MAX_HOPS; hop++) {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form ? { method: 'POST', body: form } : {}),
    });
    await response.body?.cancel();
    for (const cookie of response.headers.getSetCookie()) {
      const [pair = ''] = cookie.split(';');
      cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    }
    form = undefined;
    const location = response.headers.get('location');
    if (location) {
      url = new URL(location, url);
      if (url.href.startsWith(options.redirectUri)) return url;
    } else if (response.status === 200 && url.pathname.startsWith('/sign-in/')) {
      form = new URLSearchParams({ name: options.user, password: options.password });
    } else {
      break;
    }
  }
  throw new CliError(
    'SIGN_IN_FAILED',
    `${options.user} could not sign in at ${options.issuer}. Is the name one of dev.json's users?`,
  );
}
