import { createReadStream, readFileSync } from 'node:fs';
import { parseJsonStrict } from '@remit/contracts';
import { type ExportReport, LedgerError, verifyExport } from '@remit/ledger';
import { CliError } from '../error.ts';
import { readTrustedKeys } from './trusted-keys.ts';

export type VerifyOptions = {
  /** A trust file, or a file of verifier keys. */
  trust: string;
  /** Files of checkpoints from elsewhere. */
  checkpoint: readonly string[];
  /** The log's name; default: what the export says it is. */
  origin?: string;
  /** A witness must have cosigned the newest checkpoint. */
  witnessed?: boolean;
};

/**
 * Verifies an export without the service and its database, and says in lines for people what it found.
 * `ok` is false for every fault. Throws CliError `USAGE` for files that can't be read.
 */
export async function verify(
  file: string,
  options: VerifyOptions,
): Promise<{ ok: boolean; text: string }> {
  const origin = options.origin ?? (await originOf(file));
  const { verifiers, required } = readTrustedKeys(options.trust, origin, {
    witnesses: options.witnessed ?? false,
  });
  const outside = options.checkpoint.map(readText);
  try {
    const report = await verifyExport({
      lines: linesOf(file),
      origin,
      verifiers,
      required,
      outside,
    });
    return { ok: report.ok, text: inWords(report, options) };
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    throw new CliError('USAGE', `${file} is no export: ${error.message}.`, { cause: error });
  }
}

function inWords(report: ExportReport, { origin, checkpoint }: VerifyOptions): string {
  const { ok, mode, size, records, dropped, signedBy, faults } = report;
  if (!ok) {
    const lines = faults.map(({ kind, seq, upTo, detail }) => {
      const where = seq === 0 ? '' : ` at ${seq}${upTo > seq ? ` to ${upTo}` : ''}`;
      return `${kind}${where}: ${detail}`;
    });
    return [`NOT OK  ${report.origin}`, ...lines].join('\n');
  }
  const what =
    mode === 'whole'
      ? `all ${size} records${dropped > 0 ? `, ${dropped} of them let go by retention` : ''}`
      : `${records} records of ${size}; what was left out is not known`;
  const caveats = [
    origin === undefined ? 'the name of the log was taken from the file' : undefined,
    checkpoint.length === 0
      ? 'compared with no checkpoint from elsewhere: another history, or a later end, would not be seen'
      : undefined,
  ].filter((caveat) => caveat !== undefined);
  const signers = [...new Set(signedBy.map(({ name }) => name))].join(', ');
  return [`OK  ${report.origin}: ${what}`, `signed by ${signers}`, ...caveats].join('\n');
}

/**
 * Lines end in a line feed and nothing else. node:readline also ends them at U+2028 and U+2029, which
 * JSON leaves as they are: whoever wrote one into an argument would make an honest export look damaged.
 */
async function* linesOf(file: string): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of createReadStream(file, 'utf8') as AsyncIterable<string>) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}

async function originOf(file: string): Promise<string> {
  try {
    for await (const line of linesOf(file)) {
      const header = parseJsonStrict(line) as { origin?: unknown } | null;
      if (typeof header?.origin === 'string') return header.origin;
      break;
    }
  } catch (cause) {
    throw new CliError('USAGE', `${file} cannot be read as an export.`, { cause });
  }
  throw new CliError('USAGE', `${file} is no export: it has no header.`);
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CliError('USAGE', `${file} cannot be read.`, { cause });
  }
}
