import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { afterAll, describe, expect, it } from 'vitest';
import { assertProduction, baseConfig } from './base-config.ts';
import {
  booleanField,
  choiceField,
  integerField,
  secretField,
  textField,
  urlField,
} from './fields.ts';
import {
  configSchema,
  describeConfig,
  loadConfig,
  redactConfig,
  variableName,
} from './load-config.ts';

const schema = configSchema({
  publicUrl: urlField({ description: 'The URL.', schemes: ['https:', 'http:'] }),
  poolMax: integerField({ description: 'Connections.', minimum: 1, maximum: 50, default: 10 }),
  production: booleanField({ description: 'Strict.', default: false }),
  mode: choiceField(['a', 'b'], { description: 'The mode.', default: 'a' }),
  password: secretField({ description: 'The password.' }),
  note: Type.Optional(textField({ description: 'A note.' })),
});

const good = { REMIT_PUBLIC_URL: 'https://x.test/base', REMIT_PASSWORD: 'hunter2' };
const dir = mkdtempSync(join(tmpdir(), 'remit-config-'));
afterAll(() => rmSync(dir, { recursive: true }));

describe('a configuration', () => {
  it('takes types from the schema, defaults where nothing is set, and nothing else', () => {
    const env = {
      ...good,
      REMIT_POOL_MAX: '7',
      REMIT_PRODUCTION: 'true',
      REMIT_NOTE: '',
      PATH: '/bin',
    };
    const { config, warnings } = loadConfig(schema, env);
    expect(config).toEqual({
      publicUrl: 'https://x.test/base',
      poolMax: 7,
      production: true,
      mode: 'a',
      password: 'hunter2',
    });
    expect(warnings).toEqual([]);
  });

  it('warns of a variable that it does not know', () => {
    const env = { ...good, REMIT_POOL_MAXX: '7', REMIT_LOAD_IDP: 'x', REMIT_PARENT_WATCH: '1' };
    expect(loadConfig(schema, env).warnings).toEqual([
      'REMIT_POOL_MAXX is set but this service has no such setting; it is ignored.',
    ]);
  });

  it('takes a secret from a file, without its last line break', () => {
    const file = join(dir, 'password');
    writeFileSync(file, 'from file\n');
    const { config } = loadConfig(schema, {
      ...good,
      REMIT_PASSWORD: '',
      REMIT_PASSWORD_FILE: file,
    });
    expect(config.password).toBe('from file');
  });

  it.each([
    [
      { REMIT_POOL_MAX: '1e1' },
      'REMIT_POOL_MAX must be an integer from 1 to 50, not "1e1". Connections.',
    ],
    [
      { REMIT_POOL_MAX: '51' },
      'REMIT_POOL_MAX must be an integer from 1 to 50, not "51". Connections.',
    ],
    [
      { REMIT_POOL_MAX: ' 5' },
      'REMIT_POOL_MAX must be an integer from 1 to 50, not " 5". Connections.',
    ],
    [{ REMIT_PRODUCTION: 'yes' }, 'REMIT_PRODUCTION must be true or false, not "yes". Strict.'],
    [{ REMIT_MODE: 'c' }, 'REMIT_MODE must be one of a, b, not "c". The mode.'],
    [
      { REMIT_PUBLIC_URL: 'ftp://x.test' },
      'REMIT_PUBLIC_URL must be a URL (https: or http:) without user, query, fragment and trailing slash, not "ftp://x.test". The URL.',
    ],
    [{ REMIT_PUBLIC_URL: 'https://x.test/' }, /REMIT_PUBLIC_URL must be a URL/],
    [{ REMIT_PUBLIC_URL: 'https://u:p@x.test' }, /REMIT_PUBLIC_URL must be a URL/],
    [{ REMIT_PUBLIC_URL: '' }, 'REMIT_PUBLIC_URL is missing. The URL. Set it.'],
    [
      { REMIT_PASSWORD: '' },
      'REMIT_PASSWORD is missing. The password. Set it, or REMIT_PASSWORD_FILE to a file that holds it.',
    ],
    [
      { REMIT_PASSWORD_FILE: '/x' },
      'REMIT_PASSWORD and REMIT_PASSWORD_FILE are both set. Remove one of them.',
    ],
    [
      { REMIT_PASSWORD: '', REMIT_PASSWORD_FILE: '/nowhere' },
      'REMIT_PASSWORD_FILE names /nowhere, which cannot be read (ENOENT). Check path and rights.',
    ],
  ])('says what, why and what to do for %j', (env, problem) => {
    expect(() => loadConfig(schema, { ...good, ...env })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        details: {
          problems: [typeof problem === 'string' ? problem : expect.stringMatching(problem)],
        },
      }),
    );
  });

  it('is printed without its secrets', () => {
    const { config } = loadConfig(schema, good);
    const shown = redactConfig(schema, config);
    expect(shown).toMatchObject({
      REMIT_PUBLIC_URL: 'https://x.test/base',
      REMIT_PASSWORD: '[redacted]',
    });
    expect(JSON.stringify(shown)).not.toContain('hunter2');
  });

  it('describes every setting', () => {
    expect(describeConfig(schema)[4]).toEqual({
      name: 'REMIT_PASSWORD',
      required: true,
      secret: true,
      expects: 'non-empty text',
      description: 'The password.',
    });
    expect(
      describeConfig(configSchema(baseConfig)).every(({ description }) =>
        description.endsWith('.'),
      ),
    ).toBe(true);
  });

  it('names variables after fields', () => {
    expect(Object.keys(baseConfig).map(variableName)).toEqual([
      'REMIT_HTTP_HOST',
      'REMIT_HTTP_PORT',
      'REMIT_PUBLIC_URL',
      'REMIT_DATABASE_URL',
      'REMIT_NATS_URL',
      'REMIT_NATS_USER',
      'REMIT_NATS_SEED',
      'REMIT_TRUST_FILE',
      'REMIT_SPOOL_DIR',
      'REMIT_LOG_LEVEL',
      'REMIT_INSTANCE',
      'REMIT_PRODUCTION',
      'REMIT_INSECURE_DATABASE',
    ]);
  });

  it('for production is refused without TLS or with a forgetful database', () => {
    const open = { publicUrl: 'http://x.test', insecureDatabase: true };
    expect(() => assertProduction({ ...open, production: false })).not.toThrow();
    expect(() => assertProduction({ publicUrl: 'https://x.test', production: true })).not.toThrow();
    expect(() => assertProduction({ ...open, production: true })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        details: {
          problems: [
            'REMIT_PUBLIC_URL is without TLS. Give the https URL under which others reach this service.',
            'REMIT_INSECURE_DATABASE=true is for tests only. Remove it.',
          ],
        },
      }),
    );
  });
});
