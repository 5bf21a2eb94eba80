import { readFileSync } from 'node:fs';
import * as dpop from 'dpop';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import { expect, test } from 'vitest';
import type { Stage } from '../stage.ts';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const AGENT = 'procurement-agent';

/**
 * What is refused to an attacker has to be given to everybody who keeps to the standards: libraries
 * that nobody here wrote launch a task, call the tool and give the token up.
 */
export function libraries(at: () => Stage): void {
  /** As a tenant's own clients sign: RFC 7523 with the type that its revision asks for. */
  const typed = {
    [oauth.modifyAssertion]: (header: Record<string, unknown>) => {
      header['typ'] = 'client-authentication+jwt';
    },
  };
  const clientKey = async (): Promise<oauth.CryptoKey> => {
    const file = at().demo.dev.clients.find(({ id }) => id === AGENT)?.key_file ?? '';
    const [jwk] = (JSON.parse(readFileSync(file, 'utf8')) as { keys: oauth.JWK[] }).keys;
    return crypto.subtle.importKey('jwk', (jwk ?? {}) as object, { name: 'Ed25519' }, false, [
      'sign',
    ]);
  };
  const launchParameters = async () => ({
    subject_token: await at().world.signIn('alice'),
    subject_token_type: ID_TOKEN,
    resource: at().demo.dev.erp_audience,
    authorization_details: JSON.stringify([
      {
        type: 'urn:remit:task:1',
        task_type: 'supplier-risk-summary',
        slots: { supplier: 'S-100' },
      },
    ]),
  });
  const supplier = () => new URL('/suppliers/S-100', at().world.erp.url);

  test('oauth4webapi launches after the nonce it is asked for, calls the tool, and revokes', async () => {
    const insecure = { [oauth.allowInsecureRequests]: true };
    const issuer = new URL(at().demo.dev.issuer);
    const as = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
    );
    const who: oauth.Client = { client_id: AGENT };
    const auth = oauth.PrivateKeyJwt(await clientKey(), typed);
    const DPoP = oauth.DPoP(who, await oauth.generateKeyPair('ES256'));
    const launch = async () => {
      const parameters = await launchParameters();
      const options = { DPoP, ...insecure };
      return oauth.processGenericTokenEndpointResponse(
        as,
        who,
        await oauth.genericTokenEndpointRequest(as, who, auth, EXCHANGE, parameters, options),
      );
    };
    const challenged = await launch().catch((error: unknown) => error);
    expect(oauth.isDPoPNonceError(challenged)).toBe(true);
    const { access_token: token, token_type: type } = await launch();
    expect(type).toBe('dpop');

    const call = async () =>
      oauth.protectedResourceRequest(token, 'GET', supplier(), undefined, undefined, {
        DPoP,
        ...insecure,
      });
    expect((await call()).status).toBe(200);
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, who, auth, token, insecure),
    );
    await at().world.until(async () => {
      const refused = await call().catch((error: unknown) => error);
      return refused instanceof oauth.WWWAuthenticateChallengeError && refused.status === 401;
    });
  });

  test('openid-client does the same, nonce and all, by itself', async () => {
    const config = await client.discovery(
      new URL(at().demo.dev.issuer),
      AGENT,
      undefined,
      client.PrivateKeyJwt(await clientKey(), typed),
      { algorithm: 'oauth2', execute: [client.allowInsecureRequests] },
    );
    const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
    const options = { DPoP };
    const granted = await client.genericGrantRequest(
      config,
      EXCHANGE,
      await launchParameters(),
      options,
    );
    expect(granted).toMatchObject({ token_type: 'dpop', expires_in: 300 });
    const { access_token: token } = granted;
    const answer = await client.fetchProtectedResource(
      config,
      token,
      supplier(),
      'GET',
      undefined,
      undefined,
      options,
    );
    expect(answer.status).toBe(200);
    await client.tokenRevocation(config, token);
  });

  test('a proof of dpop is one that the issuer and the tool take', async () => {
    const stage = at();
    const { issuer } = stage.demo.dev;
    const pair = await dpop.generateKeyPair('Ed25519');
    const config = await client.discovery(
      new URL(issuer),
      AGENT,
      undefined,
      client.PrivateKeyJwt(await clientKey(), typed),
      { algorithm: 'oauth2', execute: [client.allowInsecureRequests] },
    );
    let nonce: string | undefined;
    config[client.customFetch] = async (url, init) => {
      const headers = new Headers(init.headers);
      headers.set('dpop', await dpop.generateProof(pair, url, init.method, nonce));
      const response = await fetch(url, { ...init, headers } as RequestInit);
      nonce = response.headers.get('dpop-nonce') ?? nonce;
      return response;
    };
    const launch = async () =>
      client.genericGrantRequest(config, EXCHANGE, await launchParameters());
    await expect(launch()).rejects.toMatchObject({ error: 'use_dpop_nonce' });
    const { access_token: token } = await launch();
    const url = supplier();
    const proof = await dpop.generateProof(pair, url.href, 'GET', undefined, token);
    const answer = await fetch(url, { headers: { authorization: `DPoP ${token}`, dpop: proof } });
    expect(answer.status).toBe(200);
  });
}
