import { afterEach, describe, expect, test, vi } from 'vitest';
import { testServers } from './servers.ts';

afterEach(() => vi.unstubAllEnvs());

describe('REMIT_TEST_INFRA', () => {
  test.each(['docker', '', 'toString'])('is refused as %j', (mode) => {
    expect(() => testServers(mode)).toThrow(
      `REMIT_TEST_INFRA=${mode} is not known; embedded, testcontainers, external are.`,
    );
  });

  test.each(['', 'not a URL'])('=external says what it needs when it is given %j', async (url) => {
    vi.stubEnv('REMIT_TEST_POSTGRES_URL', url);
    const servers = testServers('external');
    try {
      await expect(servers.database('issuer')).rejects.toThrow('needs REMIT_TEST_POSTGRES_URL');
    } finally {
      await servers.close();
    }
  });
});
