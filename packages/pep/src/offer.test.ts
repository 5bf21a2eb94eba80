import { beforeEach, describe, expect, it } from 'vitest';
import { checkFixture } from './check.testing.ts';

type Fixture = Awaited<ReturnType<typeof checkFixture>>;
let f: Fixture;
beforeEach(async () => {
  f = await checkFixture();
  f.start();
});

const READ = { action: 'suppliers.read', resource: 'erp/suppliers/*', label: 'Read a supplier' };
const ORDER = { action: 'orders.create', resource: 'erp/orders', label: 'Order' };
const PAY = { action: 'payments.release', resource: 'erp/payments/*', label: 'Pay' };
const ALL = [READ, ORDER, PAY];

const verdicts = (...offers: string[]) => {
  f.state.pdpAnswer = async () =>
    ({ verdicts: offers.map((offer) => ({ offer, reason: 'permitted' })) }) as object;
};
const ask = (token = f.sign(f.claims())) => f.pep.filterTools(f.present(token), ALL);

describe('the tools that are offered', () => {
  it('are those that the PDP says, as they were given, and one record says how many', async () => {
    verdicts('local', 'never', 'online');
    const claims = f.claims();
    const offer = await ask(f.sign(claims));
    expect(offer).toMatchObject({
      allow: true,
      tools: [
        { tool: READ, check: 'local' },
        { tool: PAY, check: 'online' },
      ],
    });
    expect(f.state.pdp).toMatchObject([
      {
        actors: ['procurement-agent'],
        user: 'alice',
        task: { id: claims.task.id },
        candidates: ALL.map(({ action, resource }) => ({ action, resource })),
      },
    ]);
    expect(f.records).toMatchObject([
      { id: offer.id, event: 'decision', detail: { offer: true, asked: 3, offered: 2 } },
    ]);
    expect(f.state.consumptions).toEqual([]);
  });

  it('are none to a stranger, to a token that is dead, and without the PDP', async () => {
    verdicts('local', 'local', 'local');
    expect(await ask('junk')).toMatchObject({ allow: false, status: 401 });
    const claims = f.claims();
    f.entry({ kind: 'task', id: claims.task.id });
    expect(await ask(f.sign(claims))).toMatchObject({ allow: false, reason: 'task_revoked' });
    f.state.pdpAnswer = undefined;
    expect(await ask()).toMatchObject({ allow: false, reason: 'pdp_unavailable', status: 503 });
    // Fewer verdicts than questions: nobody knows which is whose.
    verdicts('local');
    expect(await ask()).toMatchObject({ allow: false, reason: 'pdp_unavailable' });
    verdicts('always', 'permitted', 'LOCAL');
    expect(await ask()).toMatchObject({ allow: true, tools: [] });
    expect(f.state.pdp.length).toBeGreaterThan(0);
  });

  it('are none when the token dies while they are asked for, or nothing can be recorded', async () => {
    const claims = f.claims();
    f.state.pdpAnswer = async () => {
      f.entry({ kind: 'task', id: claims.task.id });
      return { verdicts: ALL.map(() => ({ offer: 'local', reason: 'permitted' })) } as object;
    };
    expect(await ask(f.sign(claims))).toMatchObject({ allow: false, reason: 'task_revoked' });
    verdicts('local', 'local', 'local');
    f.state.recording = () => Promise.reject(new Error('full'));
    expect(await ask()).toMatchObject({ allow: false, reason: 'internal', status: 503 });
  });
});
