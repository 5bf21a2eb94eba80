import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll } from 'vitest';
import { type Bus, connectBus } from './bus.ts';
import type { ServeOptions } from './serve.ts';
import { createSigner, type Signer } from './signer.ts';
import { createVerifier, type Verifier } from './verifier.ts';

export const DIGEST = 'sha256:x';
/** What the tests of one file share; set by the hooks of `useRegistry`. */
export let infra: TestInfra;
export let pdp: Bus;
export let signer: Signer;
export let verifier: Verifier;

/** A server, and the pdp that asks. */
export function useRegistry(): void {
  beforeAll(async () => {
    infra = await testInfra();
    signer = createSigner(infra.signer('registry-bus'));
    verifier = createVerifier(infra.trust().keys.registry);
    pdp = await open('pdp');
  });
  afterAll(async () => {
    await pdp.close();
    await infra[Symbol.asyncDispose]();
  });
}

export function open(user: string): Promise<Bus> {
  return connectBus({ url: infra.natsUrl, name: user, ...infra.creds(user) });
}

type BodyHandler = (
  context: { tenant: string; caller: string },
  body: { digest: string },
) => unknown;

/** What a handler waits for that shall not answer in time; resolved when its registry goes. */
export let held = Promise.withResolvers<void>();

/** A registry whose `body` does what the test says. */
export async function registryThat(
  body: BodyHandler,
  options: Partial<ServeOptions> = {},
): Promise<AsyncDisposable & { errors: unknown[] }> {
  const bus = await open('registry');
  held = Promise.withResolvers();
  const errors: unknown[] = [];
  bus.serve(
    'registry',
    { body: async (context, asked) => (await body(context, asked)) as never },
    {
      signer,
      onError: (error) => errors.push(error),
      ...options,
    },
  );
  await bus.flush();
  return {
    errors,
    async [Symbol.asyncDispose]() {
      held.resolve();
      await bus.close();
    },
  };
}

/** A connection that says and hears whatever its user may. */
export async function raw(user: string): Promise<NatsConnection> {
  const { seed } = infra.creds(user);
  return connect({
    servers: infra.natsUrl,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
    inboxPrefix: `_INBOX_${user}`,
  });
}

/** Asks as the pdp, once. */
export const ask = (tenant = 'acme', digest = DIGEST) =>
  pdp.call('registry.body', tenant, { digest }, { verifier, policy: 'quick' });
