import { type Bus, connectBus, createSigner, createVerifier, type Handlers } from '@remit/bus';
import type { ConsumeRequest, ConsumeResponse } from '@remit/contracts';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AUDIENCE, checkFixture, READ } from './check.testing.ts';
import { decide } from './decide.ts';
import { createSingleUses } from './single-use.ts';

// The real bus between a PEP and a revocation service that does what the test says.

let infra: TestInfra;
let pep: Bus;
let service: Bus;
let asked: ConsumeRequest[];
let answer: (nth: number) => Promise<ConsumeResponse>;
const never = new Promise<never>(() => {});

beforeAll(async () => {
  infra = await testInfra();
  pep = await connectBus({ url: infra.natsUrl, name: 'erp-1', ...infra.pepCreds('acme', 'erp-1') });
  service = await connectBus({
    url: infra.natsUrl,
    name: 'revocation',
    ...infra.creds('revocation'),
  });
  const handlers: Handlers<'revocation'> = {
    consume: (_, body) => {
      asked.push(body);
      return answer(asked.length);
    },
  };
  service.serve('revocation', handlers, { signer: createSigner(infra.signer('revocation-bus')) });
  await service.flush();
});
afterAll(async () => {
  await pep?.close();
  await service?.close();
  await infra?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  asked = [];
});

async function pepOnBus(keys = infra.trust().keys.revocation) {
  const f = await checkFixture();
  f.start();
  f.deps.uses = createSingleUses({
    bus: pep,
    tenant: 'acme',
    audience: AUDIENCE,
    verifier: createVerifier(keys),
    monotonicMs: () => f.state.nowMs,
  });
  const token = f.sign(f.claims({ singleUse: 'u'.repeat(22) }));
  return async () => (await decide(f.deps, f.present(token), READ)).reason;
}

describe('a consumption over the bus', () => {
  // Goes red when a retry takes a new attempt: the use that its own lost answer spent would be lost.
  it('is asked for again under the same attempt when its answer got lost', async () => {
    const call = await pepOnBus();
    answer = (nth) => (nth === 1 ? never : Promise.resolve({ outcome: 'consumed' }));
    expect(await call()).toBe('permitted');
    expect(asked.map(({ attempt }) => attempt)).toEqual([asked[0]?.attempt, asked[0]?.attempt]);
  });

  it('is unknown after four times without an answer, and never allowed at this PEP later', async () => {
    const call = await pepOnBus();
    answer = () => never;
    expect(await call()).toBe('single_use_unavailable');
    expect(asked).toHaveLength(4);
    expect(new Set(asked.map(({ attempt }) => attempt)).size).toBe(1);
    answer = async () => ({ outcome: 'consumed' });
    expect(await call()).toBe('single_use_unavailable');
    expect(asked).toHaveLength(4);
  });

  // Goes red when the answer is taken without the revocation service's signature.
  it('is not believed from anybody but the revocation service', async () => {
    const call = await pepOnBus(infra.trust().keys.pdp);
    answer = async () => ({ outcome: 'consumed' });
    expect(await call()).toBe('single_use_unavailable');
  });

  it('that the service refuses is unknown', async () => {
    const call = await pepOnBus();
    answer = () => Promise.reject(new Error('the database is gone'));
    expect(await call()).toBe('single_use_unavailable');
    expect(asked).toHaveLength(1);
  });
});
