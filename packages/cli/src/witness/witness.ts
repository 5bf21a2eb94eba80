import { createServer, type IncomingMessage, type Server } from 'node:http';
import {
  cosign,
  formatCheckpoint,
  judgeCheckpoint,
  LedgerError,
  type NoteSigner,
  parseAddCheckpoint,
  peekCheckpoint,
  type WitnessedLog,
} from '@remit/ledger';
import type { WitnessState } from './state.ts';

const MAX_BODY_BYTES = 512 * 1024;
const SIZE_TYPE = 'text/x.tlog.size';
const TEXT_TYPE = 'text/plain; charset=utf-8';

type Answer = { status: number; type: string; body: string };

/**
 * A witness: cosigns a checkpoint only if it extends the last one that it cosigned of this log, and
 * never goes back, whoever asks. Serves `POST /add-checkpoint` and nothing else; put TLS in front.
 * It learns sizes and roots, never a record. C2SP tlog-witness v1.
 */
export function createWitness(options: {
  logs: readonly WitnessedLog[];
  signers: readonly NoteSigner[];
  state: WitnessState;
  /** Told of every answer, for a line of the log. */
  onAnswer?: (status: number, detail: string) => void;
}): Server {
  const { logs, signers, state, onAnswer } = options;

  async function answer(body: string): Promise<Answer> {
    const request = parseAddCheckpoint(body);
    const { origin } = peekCheckpoint(request.note);
    return state.exclusively(origin, async () => {
      const verdict = judgeCheckpoint(request, logs, await state.read(origin));
      if ('accepted' in verdict) {
        const { accepted } = verdict;
        await state.keep(origin, formatCheckpoint(accepted));
        onAnswer?.(200, `${origin} ${accepted.size}`);
        return { status: 200, type: TEXT_TYPE, body: cosign(accepted, signers) };
      }
      const { status, size, detail } = verdict;
      onAnswer?.(status, `${status === 404 ? 'an unknown log' : origin}: ${detail}`);
      return size === undefined
        ? { status, type: TEXT_TYPE, body: `${detail}\n` }
        : { status, type: SIZE_TYPE, body: `${size}\n` };
    });
  }

  async function handle(request: IncomingMessage): Promise<Answer> {
    if (request.url !== '/add-checkpoint') return plain(404, 'there is nothing here');
    if (request.method !== 'POST') return plain(405, 'only POST');
    const body = await readBody(request);
    if (body === undefined) return plain(413, 'the request is too large');
    try {
      return await answer(body);
    } catch (error) {
      if (error instanceof LedgerError) return plain(400, 'the request is not well-formed');
      onAnswer?.(500, String(error));
      return plain(500, 'nothing was cosigned');
    }
  }

  const server = createServer((request, response) => {
    handle(request)
      .then(({ status, type, body }) =>
        response.writeHead(status, { 'content-type': type }).end(body),
      )
      .catch(() => response.destroy());
  });
  server.requestTimeout = 10_000;
  return server;
}

function plain(status: number, detail: string): Answer {
  return { status, type: TEXT_TYPE, body: `${detail}\n` };
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
