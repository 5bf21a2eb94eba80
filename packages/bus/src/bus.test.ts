import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bus, connectBus } from './bus.ts';
import { createSigner } from './signer.ts';
import { createVerifier } from './verifier.ts';

let infra: TestInfra;
beforeAll(async () => {
  infra = await testInfra();
});
afterAll(async () => infra[Symbol.asyncDispose]());

function open(user: string, extra: object = {}): Promise<Bus> {
  return connectBus({ url: infra.natsUrl, name: `test ${user}`, ...infra.creds(user), ...extra });
}

describe('a call', () => {
  it('is answered', async () => {
    await using registry = await open('registry');
    await using pdp = await open('pdp');
    const signer = createSigner(infra.signer('registry-bus'));
    registry.serve('registry', { body: (_c, { digest }) => ({ digest, text: '{}' }) }, { signer });
    const verifier = createVerifier(signer.publicJwks());
    await registry.flush();
    expect(await pdp.call('registry.body', 'acme', { digest: 'x' }, { verifier })).toEqual({
      digest: 'x',
      text: '{}',
    });
  });
});
