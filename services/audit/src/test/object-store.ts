import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What of S3 the anchor uses, with signatures that are checked (AWS Signature Version 4). */
export type TestObjectStore = AsyncDisposable & {
  readonly url: string;
  readonly objects: Map<string, string>;
  /** Requests whose signature did not verify. */
  readonly refused: string[];
};

export const S3_KEY = { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret+of/the=test' };
const REGION = 'us-east-1';

export async function testObjectStore(): Promise<TestObjectStore> {
  const objects = new Map<string, string>();
  const refused: string[] = [];

  async function answer(request: IncomingMessage): Promise<{ status: number; body?: string }> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url ?? '', 'http://x');
    if (!isSigned(request, url, body)) {
      refused.push(`${request.method} ${url.pathname}`);
      return { status: 403 };
    }
    const [, , ...path] = url.pathname.split('/');
    const key = path.join('/');
    if (request.method === 'PUT') {
      if (request.headers['if-none-match'] === '*' && objects.has(key)) return { status: 412 };
      objects.set(key, body.toString('utf8'));
      return { status: 200 };
    }
    if (key !== '') {
      const found = objects.get(key);
      return found === undefined ? { status: 404 } : { status: 200, body: found };
    }
    const prefix = url.searchParams.get('prefix') ?? '';
    const listed = [...objects.keys()]
      .filter((name) => name.startsWith(prefix))
      .toSorted()
      .slice(0, Number(url.searchParams.get('max-keys')));
    const contents = listed.map((name) => `<Contents><Key>${name}</Key></Contents>`).join('');
    return { status: 200, body: `<ListBucketResult>${contents}</ListBucketResult>` };
  }

  const server = createServer((request, response) => {
    answer(request)
      .then(({ status, body }) => response.writeHead(status).end(body))
      .catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects,
    refused,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** Written from the specification, beside the client's own code: they must agree. */
function isSigned(request: IncomingMessage, url: URL, body: Buffer): boolean {
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? '',
    );
  if (parts === null) return false;
  const [, id, day = '', region = '', signedHeaders = '', signature = ''] = parts;
  const hash = String(request.headers['x-amz-content-sha256']);
  if (id !== S3_KEY.accessKeyId || region !== REGION || hash !== sha256(body)) return false;
  const query = [...url.searchParams]
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .toSorted()
    .join('&');
  const headers = signedHeaders
    .split(';')
    .map((name) => `${name}:${String(request.headers[name]).trim()}\n`)
    .join('');
  const canonical = [request.method, url.pathname, query, headers, signedHeaders, hash].join('\n');
  const scope = `${day}/${region}/s3/aws4_request`;
  const time = String(request.headers['x-amz-date']);
  const text = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n');
  const key = [day, region, 's3', 'aws4_request'].reduce<Buffer | string>(
    (secret, part) => hmac(secret, part),
    `AWS4${S3_KEY.secretAccessKey}`,
  );
  return timingSafeEqual(hmac(key, text), Buffer.from(signature, 'hex'));
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function sha256(data: Buffer | string): string {
  return createHash('sha256').update(data).digest('hex');
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
