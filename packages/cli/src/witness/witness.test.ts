import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  appendLeaf,
  consistencyProof,
  cosignaturesOf,
  type Edge,
  ed25519Signer,
  edgeRoot,
  emptyEdge,
  formatAddCheckpoint,
  formatVkey,
  type HashReader,
  leafHash,
  noteVerifier,
  openNote,
  parseVkey,
  signCheckpoint,
  verifierKey,
} from '@remit/ledger';
import { afterAll, expect, test } from 'vitest';
import { runWitness } from './run.ts';

const dir = mkdtempSync(join(tmpdir(), 'remit-witness-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const ORIGIN = 'log.test/acme';
const log = generateKeyPairSync('ed25519');
const leaves = Array.from({ length: 9 }, (_, i) => leafHash(Buffer.from(`entry ${i}`)));
const forked = leaves.with(1, leafHash(Buffer.from('rewritten')));
writeFileSync(join(dir, 'logs'), `# logs\n${formatVkey(verifierKey(ORIGIN, log.publicKey))}\n`);

const readerOf =
  (of: readonly Uint8Array[]): HashReader =>
  async (_level, start, count) =>
    of.slice(start, start + count);
const edgeOf = (of: readonly Uint8Array[]) =>
  of.reduce<Edge>((edge, leaf) => appendLeaf(edge, leaf), emptyEdge);
const noteOf = (size: number, of = leaves, key = log.privateKey, origin = ORIGIN) =>
  signCheckpoint({ origin, size, root: edgeRoot(edgeOf(of.slice(0, size))) }, [
    ed25519Signer(origin, key),
  ]);
const bodyOf = async (oldSize: number, size: number, of = leaves) =>
  formatAddCheckpoint({
    oldSize,
    proof: await consistencyProof(readerOf(of), oldSize, size),
    note: noteOf(size, of),
  });

/** Starts a witness over a folder; what it says is kept. */
async function startWitness(state: string) {
  const stop = new AbortController();
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<string>();
  const ended = runWitness(
    {
      name: 'witness.test/w1',
      key: join(dir, 'key'),
      logs: join(dir, 'logs'),
      state: join(dir, state),
      host: '127.0.0.1',
      port: 0,
    },
    (line) => {
      said.push(line);
      if (line.startsWith('witness at ')) resolve(line.slice('witness at '.length));
    },
    stop.signal,
  );
  const url = await promise;
  return {
    said,
    url,
    verifiers: said
      .filter((line) => line.startsWith('witness.test'))
      .map((line) => noteVerifier(parseVkey(line))),
    async add(body: string) {
      const response = await fetch(url, { method: 'POST', body });
      const type = response.headers.get('content-type');
      return { status: response.status, type, text: await response.text() };
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

test('it cosigns what extends the last one, with both of its keys, and remembers over a restart', async () => {
  {
    await using witness = await startWitness('a');
    const first = await witness.add(await bodyOf(0, 3));
    expect(first.status).toBe(200);
    const lines = cosignaturesOf(noteOf(3), first.text, witness.verifiers);
    expect(openNote(noteOf(3) + lines, witness.verifiers).signedBy).toHaveLength(2);
    expect((await witness.add(await bodyOf(3, 7))).status).toBe(200);
  }
  await using again = await startWitness('a');
  // Its state outlives it: from here on nothing older and nothing else is cosigned.
  for (const body of [await bodyOf(0, 3), await bodyOf(3, 7), await bodyOf(0, 9)]) {
    expect(await again.add(body)).toEqual({ status: 409, type: 'text/x.tlog.size', text: '7\n' });
  }
  expect((await again.add(await bodyOf(7, 9, forked))).status).toBe(422);
  expect((await again.add(await bodyOf(7, 7, forked))).status).toBe(409);
  expect((await again.add(await bodyOf(7, 9))).status).toBe(200);
  for (const name of readdirSync(join(dir, 'a'))) {
    expect(statSync(join(dir, 'a', name)).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(dir, 'a', name), 'utf8')).toContain(`${ORIGIN}\n9\n`);
  }
  expect(statSync(join(dir, 'key')).mode & 0o777).toBe(0o600);
});

test('of two histories that arrive at once it cosigns one', async () => {
  await using witness = await startWitness('b');
  expect((await witness.add(await bodyOf(0, 1))).status).toBe(200);
  // Without the queue of a log both would be judged against the first state, and both cosigned.
  const answers = await Promise.all([
    witness.add(await bodyOf(1, 9)),
    witness.add(await bodyOf(1, 9, forked)),
    witness.add(await bodyOf(1, 4)),
  ]);
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 409)).toHaveLength(2);
});

test('strangers, other logs and other requests get nothing', async () => {
  await using witness = await startWitness('c');
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const add = (note: string) => witness.add(formatAddCheckpoint({ oldSize: 0, proof: [], note }));
  expect((await add(noteOf(3, leaves, stranger))).status).toBe(403);
  expect((await add(noteOf(3, leaves, stranger, 'log.test/globex'))).status).toBe(404);
  expect((await witness.add('old 0\n\nx')).status).toBe(400);
  expect((await witness.add('x'.repeat(600_000))).status).toBe(413);
  expect((await fetch(witness.url)).status).toBe(405);
  expect((await fetch(new URL('/', witness.url), { method: 'POST' })).status).toBe(404);
  expect(readdirSync(join(dir, 'c'))).toEqual([]);
});

test('keys or logs that cannot be read are said, not guessed', async () => {
  writeFileSync(join(dir, 'junk'), '{}');
  const options = {
    name: 'w',
    key: join(dir, 'key2'),
    logs: join(dir, 'logs'),
    state: join(dir, 'd'),
    host: '127.0.0.1',
    port: 0,
  };
  for (const change of [
    { key: join(dir, 'junk') },
    { logs: join(dir, 'junk') },
    { logs: join(dir, 'none') },
  ]) {
    const run = runWitness({ ...options, ...change }, () => {}, AbortSignal.abort());
    await expect(run).rejects.toThrow(expect.objectContaining({ code: 'USAGE' }));
  }
});
