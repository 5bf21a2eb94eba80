import { createHash } from 'node:crypto';
import { openCheckpoint, peekCheckpoint } from '@remit/ledger';
import { AwsClient } from 'aws4fetch';
import type { CheckpointKeys } from '../checkpoint/keys.ts';
import { AuditError } from '../error.ts';
import { type Anchor, assertExtends } from './anchor.ts';

export type ObjectStoreOptions = {
  /** Base URL of an S3-compatible service; the bucket is the first part of the path. */
  endpoint: string;
  bucket: string;
  /** In front of every key, without slashes at its ends. */
  prefix: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
};

const NAME = 's3';
const TIMEOUT_MS = 5_000;
const KEY = /<Key>([^<]*)<\/Key>/;

/**
 * Keeps each checkpoint as an object of its own, written once (`If-None-Match: *`) and never again:
 * give the bucket object lock, and the service a key that may put and get, not delete. Listings are
 * in the order of keys, so a key begins with what its size leaves of the largest number: the newest
 * one is the first.
 */
export function objectStoreAnchor(options: ObjectStoreOptions, keys: CheckpointKeys): Anchor {
  const { endpoint, bucket, prefix, region, accessKeyId, secretAccessKey } = options;
  const client = new AwsClient({ accessKeyId, secretAccessKey, region, service: 's3', retries: 0 });
  const base = `${endpoint.replace(/\/$/, '')}/${bucket}`;
  const folder = (tenant: string): string => `${prefix}/${tenant}/`;
  const keyOf = (tenant: string, size: number): string => {
    const left = String(Number.MAX_SAFE_INTEGER - size).padStart(16, '0');
    return `${folder(tenant)}${left}-${size}.checkpoint`;
  };

  async function send(method: string, url: string, body?: string): Promise<Response> {
    return client.fetch(url, {
      method,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: {
        'x-amz-content-sha256': createHash('sha256')
          .update(body ?? '')
          .digest('hex'),
        ...(body === undefined
          ? {}
          : { 'content-type': 'text/plain; charset=utf-8', 'if-none-match': '*' }),
      },
      ...(body === undefined ? {} : { body }),
    });
  }

  async function newest(tenant: string): Promise<string | undefined> {
    const query = new URLSearchParams({
      'list-type': '2',
      'max-keys': '1',
      prefix: folder(tenant),
    });
    const listed = await send('GET', `${base}?${query.toString()}`);
    if (!listed.ok) throw failed('list', listed.status);
    const [, key] = KEY.exec(await listed.text()) ?? [];
    if (key === undefined) return undefined;
    const got = await send('GET', `${base}/${key}`);
    if (!got.ok) throw failed('get', got.status);
    return got.text();
  }

  return {
    name: NAME,
    async take(head) {
      const { tenant, size, note } = head;
      const kept = await newest(tenant);
      if (kept !== undefined) {
        const origin = keys.origin(tenant);
        const verifiers = keys.verifiers(tenant);
        await assertExtends(NAME, head, openCheckpoint(kept, { origin, verifiers }));
        if (peekCheckpoint(kept).size === size) return undefined;
      }
      if (size === 0) return undefined;
      const put = await send('PUT', `${base}/${keyOf(tenant, size)}`, note);
      // 412: it is there already, put by another replica; the next look compares it.
      if (!put.ok && put.status !== 412) throw failed('put', put.status);
      return undefined;
    },
  };
}

function failed(what: string, status: number): AuditError {
  return new AuditError('ANCHOR_FAILED', `the object store answered ${status}`, { what, status });
}
