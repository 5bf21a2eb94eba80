import { describe, expect, it } from 'vitest';
import { BusError } from './error.ts';
import { assertServerVersion, judgeServerVersion } from './server-version.ts';

describe('the version of a nats-server', () => {
  it('is current from 2.12.12 and from 2.14.3 on', () => {
    for (const version of ['2.12.12', '2.12.99', '2.14.3', '2.15.0', '2.15.1-RC.1', '3.0.0']) {
      expect(judgeServerVersion(version), version).toBe('current');
    }
  });

  it('is old from 2.10 on, also between the two fixed lines', () => {
    for (const version of ['2.10.0', '2.10.27', '2.11.9', '2.12.11', '2.13.9', '2.14.2']) {
      expect(judgeServerVersion(version), version).toBe('old');
    }
  });

  it('is refused below 2.10 and when it can not be read', () => {
    for (const version of ['2.9.10', '1.4.1', '', 'unknown', '2.15', '2..1']) {
      expect(judgeServerVersion(version), version).toBe('refused');
      expect(() => assertServerVersion({ version }, { production: false })).toThrow(BusError);
    }
  });

  it('is a warning when it is old, and the end in production', () => {
    expect(assertServerVersion({ version: '2.15.1' }, { production: true })).toBeUndefined();
    expect(assertServerVersion({ version: '2.10.27' }, { production: false })).toMatch(
      /^nats-server 2\.10\.27 has published weaknesses; fine on loopback, never beyond/,
    );
    expect(() => assertServerVersion({ version: '2.10.27' }, { production: true })).toThrow(
      expect.objectContaining({
        code: 'SERVER_TOO_OLD',
        message: 'nats-server 2.10.27 is not acceptable here: use 2.12.12, 2.14.3 or newer',
      }),
    );
  });
});
