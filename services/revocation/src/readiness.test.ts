import { testInfra } from '@remit/testkit';
import { expect, it } from 'vitest';
import { build } from './app.ts';
import { configOf, createSources, until } from './test/rig.ts';

it('is not ready within two seconds of losing the database or the bus, and ready again without a restart', async () => {
  await using cleanup = new AsyncDisposableStack();
  const infra = cleanup.use(await testInfra({ services: ['revocation'] }));
  const sources = await createSources(infra);
  cleanup.defer(() => sources.stop());
  const database = await infra.throughProxy(infra.databaseUrl('revocation'));
  const bus = await infra.throughProxy(infra.natsUrl);
  const app = await build(configOf(infra, { databaseUrl: database.url, natsUrl: bus.url }));
  cleanup.defer(() => app.stop());
  await app.start();
  const readiness = async () => (await app.http.inject('/readyz')).json();
  const ready = () =>
    until(async () => expect(await readiness()).toMatchObject({ status: 'ready' }));
  await ready();
  for (const [name, { proxy }] of [
    ['database', database],
    ['bus', bus],
  ] as const) {
    proxy.cut();
    await until(async () => {
      const { checks } = await readiness();
      expect(checks[name].ok).toBe(false);
      expect((await app.http.inject('/readyz')).statusCode).toBe(503);
      expect((await app.http.inject('/livez')).statusCode).toBe(200);
    }, 2_000);
    proxy.heal();
    await ready();
  }
}, 30_000);
