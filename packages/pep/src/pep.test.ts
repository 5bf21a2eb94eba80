import { join } from 'node:path';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { checkFixture, READ } from './check.testing.ts';
import { feedService } from './feed.testing.ts';
import { createPep, type PepOptions } from './pep.ts';

// createPep() on a real nats-server, with the spool on a real disk.

let infra: TestInfra;
let service: Awaited<ReturnType<typeof feedService>>;
beforeAll(async () => {
  infra = await testInfra();
});
beforeEach(async () => {
  service = await feedService(infra);
});
afterEach(() => service[Symbol.asyncDispose]());
afterAll(() => infra?.[Symbol.asyncDispose]());

const options = (over: Partial<PepOptions> = {}): PepOptions => ({
  tenant: 'acme',
  audience: 'https://erp.example',
  trust: infra.trust(),
  nats: { url: infra.natsUrl, ...infra.pepCreds('acme', 'erp-1') },
  spoolDir: join(infra.tmpDir, 'pep-spool'),
  readyTimeoutMs: 5_000,
  fetch: async () => Response.json({ keys: infra.keys.tokenPublicKeys('acme') }),
  ...over,
});

describe('an enforcement point', () => {
  it('is there when its picture is fresh, and says so', async () => {
    service.startBeating();
    await using pep = await createPep(options({ trust: infra.trustFile }));
    expect(pep.health()).toEqual({
      fresh: true,
      bus: 'connected',
      rev: { epoch: 'epoch-01', seq: 0 },
      revocations: 0,
      refusedMessages: 0,
    });
    await service.send(service.eventSubject, 'junk');
    await expect.poll(() => pep.health().refusedMessages).toBe(1);
    service.stopBeating();
    await expect.poll(() => pep.health().fresh, { timeout: 5_000 }).toBe(false);
  });

  it('does not start for a tenant that the trust file does not name', async () => {
    for (const tenant of ['umbrella', 'toString', '__proto__']) {
      await expect(createPep(options({ tenant }))).rejects.toMatchObject({
        code: 'TRUST_INVALID',
        message: 'the trust file does not name the tenant',
      });
    }
  });

  it('does not start with a trust file that cannot be read or has a wrong shape', async () => {
    for (const trust of ['/nowhere/trust.json', { v: 1 } as never]) {
      await expect(createPep(options({ trust }))).rejects.toMatchObject({
        code: 'TRUST_INVALID',
        message: 'the trust file cannot be read',
      });
    }
  });

  // Goes red when a failed start leaves the recorder open: the spool folder stays claimed.
  it('that could not follow the feed lets go of everything it took', async () => {
    await expect(createPep(options({ readyTimeoutMs: 200 }))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'the revocation feed could not be followed',
    });
    service.startBeating();
    await using pep = await createPep(options());
    expect(pep.health().fresh).toBe(true);
  });

  it('refuses to share a spool folder, and then leaves no connection behind', async () => {
    service.startBeating();
    await using pep = await createPep(options());
    await expect(createPep(options())).rejects.toMatchObject({ code: 'SPOOL_IN_USE' });
    expect(pep.health().bus).toBe('connected');
  });

  it('refuses everything, without an error, once it is closed', async () => {
    service.startBeating();
    const f = await checkFixture();
    f.start();
    const pep = await createPep(options());
    await pep.close();
    await pep.close();
    const refused = await pep.decide(f.present(f.sign(f.claims())), READ);
    expect(refused).toMatchObject({ allow: false });
  });
});
