import type { DevFile } from '@remit/contracts';
import { CliError } from '../error.ts';
import { type SignedIn, signIn } from './sign-in.ts';

/** Signs a development user in, for an ID token and, with `resource`, a service's access token. */
export function signInAs(dev: DevFile, user: string, resource?: string): Promise<SignedIn> {
  const known = dev.users.find(({ id }) => id === user);
  if (!known) {
    const names = dev.users.map(({ id }) => id).join(', ');
    throw new CliError('NOT_FOUND', `There is no user ${user}. The demo tenant has ${names}.`);
  }
  return signIn({
    issuer: dev.app.issuer,
    clientId: dev.app.client_id,
    redirectUri: dev.app.redirect_uri,
    user,
    password: known.password,
    ...(resource === undefined ? {} : { resource }),
  });
}

/** The audience of a service for people of the demo tenant. */
export function audienceOf(dev: DevFile, service: string): string {
  const url = dev.urls[service];
  if (!url) throw new CliError('NOT_FOUND', `dev.json names no service ${service}.`);
  return `${url}/t/${dev.tenant}`;
}
