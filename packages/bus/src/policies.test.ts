import { rpc } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { BUS_POLICIES, BUS_TIMES, METHOD_POLICY } from './policies.ts';

describe('the policies of the bus', () => {
  it('name one for each method, and never send again what changes something', () => {
    expect(Object.keys(METHOD_POLICY).toSorted()).toEqual(Object.keys(rpc).toSorted());
    for (const method of ['revocation.register', 'revocation.revoke', 'pdp.mint'] as const) {
      expect(BUS_POLICIES[METHOD_POLICY[method]].retries, method).toBe(0);
    }
  });

  it('send again what names its attempt, and are done within three seconds', () => {
    for (const method of [
      'revocation.claim',
      'revocation.commit',
      'revocation.consume',
      'revocation.release',
      'revocation.reserve',
    ] as const) {
      const { timeoutMs, retries, backoffMs } = BUS_POLICIES[METHOD_POLICY[method]];
      expect(retries).toBeGreaterThan(0);
      expect((retries + 1) * timeoutMs + retries * backoffMs).toBeLessThan(3_000);
    }
  });

  it('keep the publish of a record within 500 ms per attempt and notice a silent server within 2 s', () => {
    expect(BUS_TIMES.publishTimeoutMs).toBeLessThanOrEqual(500);
    expect((BUS_TIMES.maxPingsOut + 1) * BUS_TIMES.pingIntervalMs).toBeLessThanOrEqual(2_000);
  });
});
