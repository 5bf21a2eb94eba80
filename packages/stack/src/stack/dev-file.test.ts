import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DevFile, devFile } from '@remit/contracts';
import { expect, test } from 'vitest';
import { readDevFile, writeDevFile } from './dev-file.ts';
import { repositoryRoot } from './repository.ts';

type Schema = { properties?: Record<string, Schema>; items?: Schema };

/** Every field of a schema, as the page spells it. */
function fields(schema: Schema, prefix = ''): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const path = `${prefix}${name}`;
    return [path, ...fields(field, `${path}.`), ...fields(field.items ?? {}, `${path}[].`)];
  });
}

const example: DevFile = {
  v: 1,
  tenant: 'acme',
  urls: { issuer: 'http://127.0.0.1:7401' },
  issuer: 'http://127.0.0.1:7401/t/acme',
  erp_audience: 'http://127.0.0.1:7412',
  trust_file: '.remit/trust.json',
  app: { issuer: 'http://127.0.0.1:7411', client_id: 'app', redirect_uri: 'http://127.0.0.1/cb' },
  clients: [{ id: 'curl-agent', key_file: 'k.json', bearer: true }],
  users: [{ id: 'alice', password: 'secret', groups: ['treasury'] }],
  nats: {
    url: 'nats://127.0.0.1:7422',
    server: '2.15.1',
    users: [{ name: 'issuer', account: 'REMIT', seed_file: 'issuer.seed' }],
  },
  postgres: { host: '127.0.0.1', port: 7432, roles: { issuer: 'postgres://…' } },
  examples: [{ says: 'a token', command: 'npm run -s dev -- token alice raise-purchase-order' }],
};

test('docs/dev-json.md describes each field of dev.json, and no other', () => {
  const page = readFileSync(join(repositoryRoot, 'docs', 'dev-json.md'), 'utf8');
  const described = [...page.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1]);
  expect(described).toEqual(fields(devFile as Schema));
});

test('dev.json is written for its owner alone and read back; anything else is refused', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'remit-dev-'));
  const file = join(dir, '.remit', 'dev.json');
  try {
    expect(() => readDevFile(file)).toThrow('is the stack running? npm start brings it up');
    writeDevFile(file, example);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readDevFile(file)).toEqual(example);
    const wider = { ...example, more: 1 } as DevFile;
    expect(() => writeDevFile(file, wider)).toThrow('additional');
    expect(readDevFile(file)).toEqual(example);
  } finally {
    await rm(dir, { recursive: true });
  }
});
