import { createHash, timingSafeEqual } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

export const OFFICIAL_VERSION = '2.14.5';

const RELEASES = 'https://github.com/nats-io/nats-server/releases/download';
const SUMS_TIMEOUT_MS = 5000;
const ARCHIVE_TIMEOUT_MS = 90_000;
const MAX_ARCHIVE_BYTES = 64 * 1024 * 1024;
const TAR_BLOCK = 512;

/**
 * Downloads the official release for this platform into `dir` and returns the path of its binary.
 * Checks the archive against the release's SHA256SUMS; does not check a signature on those sums.
 * Throws when there is no release for the platform, on any HTTP failure, and on a wrong sum.
 */
export async function downloadOfficialNats(dir: string): Promise<string> {
  const name = `nats-server-v${OFFICIAL_VERSION}-${platform()}`;
  const base = `${RELEASES}/v${OFFICIAL_VERSION}`;
  const sums = await get(`${base}/SHA256SUMS`, SUMS_TIMEOUT_MS);
  const expected = findSum(sums.toString('utf8'), `${name}.tar.gz`);
  const archive = await get(`${base}/${name}.tar.gz`, ARCHIVE_TIMEOUT_MS);
  const actual = createHash('sha256').update(archive).digest();
  if (!timingSafeEqual(actual, expected)) {
    throw new Error(`${name}.tar.gz is not the file that SHA256SUMS names; nothing of it was kept`);
  }
  const binary = join(dir, 'nats-server');
  await writeFile(binary, readTarEntry(gunzipSync(archive), `${name}/nats-server`), {
    mode: 0o755,
  });
  return binary;
}

/** The SHA-256 of `file` in a SHA256SUMS text. Throws when the file is not named there. */
export function findSum(sums: string, file: string): Buffer {
  for (const line of sums.split('\n')) {
    const match = /^([0-9a-f]{64}) [ *](?:\.\/)?(.+)$/.exec(line.trim());
    if (match?.[2] === file) return Buffer.from(match[1] as string, 'hex');
  }
  throw new Error(`SHA256SUMS does not name ${file}`);
}

/** The bytes of one regular file in a tar archive. Throws when it is not there or cut off. */
export function readTarEntry(tar: Buffer, name: string): Buffer {
  for (let at = 0; at + TAR_BLOCK <= tar.length; ) {
    const header = tar.subarray(at, at + TAR_BLOCK);
    const entry = header.subarray(0, 100).toString('utf8').replace(/\0.*$/, '');
    if (entry === '') break;
    const size = Number.parseInt(header.subarray(124, 136).toString('ascii').trim(), 8);
    const from = at + TAR_BLOCK;
    if (!Number.isSafeInteger(size) || from + size > tar.length) break;
    if (entry === name) return tar.subarray(from, from + size);
    at = from + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
  throw new Error(`the archive holds no ${name}`);
}

function platform(): string {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch as string];
  const os = { linux: 'linux', darwin: 'darwin' }[process.platform as string];
  if (arch === undefined || os === undefined) {
    throw new Error(`there is no release for ${process.platform} ${process.arch}`);
  }
  return `${os}-${arch}`;
}

async function get(url: string, timeoutMs: number): Promise<Buffer> {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const body = Buffer.from(await response.arrayBuffer());
  if (body.length > MAX_ARCHIVE_BYTES) throw new Error(`${url} is larger than expected`);
  return body;
}
