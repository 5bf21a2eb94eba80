import { expect, test } from 'vitest';
import { decision, messageOf } from './test/messages.ts';
import { type TestService, testService } from './test/service.ts';

const byIssuer = (n: number) =>
  messageOf(
    decision(n, {
      producer: { service: 'issuer', instance: 'i1', version: '0.1.0', boot: 'boot1', n },
    }),
  );

/** Resolves when `/readyz` answers so, within the two seconds that a cut may go unnoticed. */
async function readiness(service: TestService, status: number): Promise<void> {
  await expect
    .poll(async () => (await service.app.http.inject({ url: '/readyz' })).statusCode, {
      timeout: status === 503 ? 2_000 : 10_000,
    })
    .toBe(status);
}

const cut = ['database', 'bus'] as const;

for (const dependency of cut) {
  test(`while the ${dependency} is away it is not ready, and nothing that was sent is lost or doubled`, async () => {
    await using service = await testService({}, { faults: true });
    const proxy = service.proxies?.[dependency];
    if (!proxy) throw new Error('the service was not started with proxies');
    await readiness(service, 200);
    const before = service.marked('boot1', 2);
    await service.send([1, 2].map(byIssuer));
    await before;

    proxy.cut();
    await service.send([3, 4].map(byIssuer));
    await readiness(service, 503);
    const rows = () => service.sql('select seq from records order by seq');
    expect(await rows()).toHaveLength(2);

    const after = service.marked('boot1', 4);
    proxy.heal();
    await readiness(service, 200);
    await after;
    expect((await rows()).map(({ seq }) => Number(seq))).toEqual([1, 2, 3, 4]);
    expect(await service.sql('select * from conflicts')).toEqual([]);
  }, 30_000);
}
