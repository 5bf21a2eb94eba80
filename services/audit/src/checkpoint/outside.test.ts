import { generateKeyPairSync } from 'node:crypto';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ed25519Signer, emptyRoot, peekCheckpoint, signCheckpoint } from '@remit/ledger';
import { afterAll, expect, test } from 'vitest';
import { openOutsideStore } from './outside.ts';

const root = mkdtempSync(join(tmpdir(), 'remit-outside-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const signer = ed25519Signer('log.test/acme', generateKeyPairSync('ed25519').privateKey);
const note = (size: number): string =>
  signCheckpoint({ origin: 'log.test/acme', size, root: emptyRoot() }, [signer]);
const fresh = (): ReturnType<typeof openOutsideStore> =>
  openOutsideStore(mkdtempSync(join(root, 'dir-')));

test('notes come back in the order in which they were kept, for each tenant by itself', async () => {
  const store = await fresh();
  expect(await store.newest('acme')).toBeUndefined();
  expect(await store.read('acme')).toEqual([]);
  for (const size of [1, 5, 9]) await store.append('acme', note(size), 0);
  await store.append('globex', note(2), 0);
  expect((await store.read('acme')).map((one) => peekCheckpoint(one).size)).toEqual([1, 5, 9]);
  expect(await store.newest('acme')).toBe((await store.read('acme')).at(-1));
  expect(await store.read('globex')).toHaveLength(1);
});

test('it refuses to go back, and to say the same size again', async () => {
  const store = await fresh();
  await store.append('acme', note(5), 0);
  for (const size of [5, 4]) {
    await expect(store.append('acme', note(size), 0)).rejects.toThrow(
      expect.objectContaining({
        code: 'CHECKPOINT_BEHIND',
        message: 'a newer checkpoint is kept outside',
      }),
    );
  }
  expect(await store.read('acme')).toHaveLength(1);
});

test('what a crash left of a line is neither read nor built upon', async () => {
  const dir = mkdtempSync(join(root, 'dir-'));
  const store = await openOutsideStore(dir);
  await store.append('acme', note(5), 0);
  const file = join(dir, 'acme.checkpoints');
  appendFileSync(file, '{"at":"2026-01-15T12:00:00.000Z","no');
  expect(await store.read('acme')).toHaveLength(1);
  await store.append('acme', note(6), 0);
  expect((await store.read('acme')).map((one) => peekCheckpoint(one).size)).toEqual([5, 6]);
  expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(3);
});

test('a line that is no checkpoint is given as it is, so that verification names it', async () => {
  const dir = mkdtempSync(join(root, 'dir-'));
  const store = await openOutsideStore(dir);
  await store.append('acme', note(5), 0);
  appendFileSync(join(dir, 'acme.checkpoints'), 'planted\n');
  expect((await store.read('acme')).at(-1)).toBe('planted');
});

test('a long file is appended to by its end alone', async () => {
  const store = await fresh();
  for (let size = 1; size <= 400; size++) await store.append('acme', note(size), 0);
  expect(await store.newest('acme')).toBe(note(400));
  expect(await store.read('acme')).toHaveLength(400);
});

test('only its owner can read it, and no tenant name leaves the folder', async () => {
  const dir = mkdtempSync(join(root, 'dir-'));
  const store = await openOutsideStore(dir);
  await store.append('acme', note(1), 0);
  expect(statSync(join(dir, 'acme.checkpoints')).mode & 0o777).toBe(0o600);
  await expect(store.append('../acme', note(1), 0)).rejects.toThrow(
    expect.objectContaining({ code: 'ID_INVALID' }),
  );
});
