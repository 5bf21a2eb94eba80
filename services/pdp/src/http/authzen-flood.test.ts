import { createHash } from 'node:crypto';
import type { EvaluateResponse } from '@remit/contracts';
import { createHealth, createHttpApp, createLogger, createMetrics } from '@remit/service-kit';
import { describe, expect, it } from 'vitest';
import type { AuthzenDeps } from './authzen.ts';
import { authzenRoutes } from './authzen.ts';

const KEY = 'k'.repeat(43);
const allowed: EvaluateResponse = {
  id: 'd',
  decision: 'allow',
  reason: 'permitted',
  dimensions: { agent: 'allow', user: 'allow', task: 'allow', policies: 'allow' },
  policies: [],
  policy_version: 'v',
  registry_revision: 1,
};

/** The routes in front of a decider that answers when the test says so. */
function flooded(maxInFlight: number) {
  const log = createLogger({ service: 'pdp', instance: 'test', level: 'fatal' });
  const metrics = createMetrics({ service: 'pdp', version: '0' });
  const health = createHealth({ log });
  const http = createHttpApp({ log, metrics, health, publicUrl: 'http://pdp.test' });
  const waiting: ((answer: EvaluateResponse) => void)[] = [];
  let arrived = (): void => undefined;
  const client = {
    id: 'harness',
    key_sha256: createHash('sha256').update(KEY).digest('base64url'),
    audience: 'https://app.example',
  };
  authzenRoutes(http, {
    decider: {
      evaluate: () =>
        new Promise<EvaluateResponse>((resolve) => {
          waiting.push(resolve);
          arrived();
        }),
    },
    recorder: { record: async () => ({ id: 'r', home: 'bus' }) },
    admit: () => Promise.reject(new Error('no people here')),
    metrics,
    publicUrl: 'http://pdp.test',
    file: { acme: { clients: [client] } },
    maxInFlight,
  } as unknown as AuthzenDeps);
  const ask = () =>
    http.inject({
      method: 'POST',
      url: '/t/acme/access/v1/evaluation',
      headers: { authorization: `Bearer ${KEY}` },
      payload: {
        subject: { type: 'user', id: 'alice' },
        action: { name: 'read' },
        resource: { type: 'record', id: '1' },
      },
    });
  const until = async (count: number) => {
    while (waiting.length < count) await new Promise<void>((next) => (arrived = next));
  };
  return { http, waiting, ask, until };
}

describe('a pdp that is asked too much', () => {
  // Take the limit away, and the flood waits with the others; let a refusal be an answer, and it allows.
  it('refuses at once with 503 and Retry-After, allows nothing, and goes on with what it has', async () => {
    const { http, waiting, ask, until } = flooded(4);
    const first = Array.from({ length: 4 }, ask);
    await until(4);
    const flood = await Promise.all(Array.from({ length: 200 }, ask));
    for (const answer of flood) {
      expect([answer.statusCode, answer.headers['retry-after']]).toEqual([503, '1']);
      expect(answer.body).toBe('The service is busy. Try again.');
    }
    expect(waiting).toHaveLength(4);
    for (const answer of waiting.splice(0)) answer(allowed);
    for (const answer of await Promise.all(first)) expect(answer.body).toBe('{"decision":true}');
    const again = ask();
    await until(1);
    waiting[0]?.(allowed);
    expect((await again).body).toBe('{"decision":true}');
    await http.close();
  });
});
