import { readFileSync } from 'node:fs';
import {
  cosignaturesOf,
  formatAddCheckpoint,
  type NoteVerifier,
  noteVerifier,
  parseVkey,
} from '@remit/ledger';
import type { Fetch } from '@remit/service-kit';
import { AuditError } from '../error.ts';
import { type Anchor, behind, forked } from './anchor.ts';

export type WitnessAddress = {
  /** Submission prefix; `/add-checkpoint` is below it. */
  readonly url: string;
  readonly verifiers: readonly NoteVerifier[];
  readonly name: string;
};

const TIMEOUT_MS = 5_000;
const MAX_ANSWER_CHARS = 65_536;
const SIZE = /^(0|[1-9][0-9]{0,15})\n$/;

/**
 * Reads the witnesses: one line for each key, `<url> <vkey>`. Throws AuditError `CHECKPOINT_KEY_INVALID`.
 */
export function readWitnesses(file: string): WitnessAddress[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  const keys = lines
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      const [url = '', vkey = '', ...rest] = line.trim().split(/\s+/);
      try {
        if (rest.length > 0 || !/^https?:$/.test(new URL(url).protocol))
          throw new Error('not a URL');
        return { url: url.replace(/\/$/, ''), key: parseVkey(vkey) };
      } catch (cause) {
        const message = `${file} has a line that is not a witness's URL and verifier key.`;
        throw new AuditError('CHECKPOINT_KEY_INVALID', message, { file }, cause);
      }
    });
  return [...Map.groupBy(keys, ({ url }) => url)].map(([url, own]) => ({
    url,
    name: `witness:${own[0]?.key.name ?? ''}`,
    verifiers: own.map(({ key }) => noteVerifier(key)),
  }));
}

/**
 * Has checkpoints cosigned by a witness, which refuses what does not extend the one before. The
 * witness itself says which size it knows: only a good cosignature of a known key is believed.
 * C2SP tlog-witness v1.
 */
export function witnessAnchor(witness: WitnessAddress, fetch: Fetch): Anchor {
  const { url, verifiers, name } = witness;
  /** Of each tenant the size that it cosigned last, as far as is known here. */
  const known = new Map<string, number>();

  async function ask(body: string): Promise<{ status: number; text: string }> {
    const response = await fetch(`${url}/add-checkpoint`, {
      method: 'POST',
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    if (text.length > MAX_ANSWER_CHARS) throw failed(name, response.status);
    return { status: response.status, text };
  }

  return {
    name,
    async take(head) {
      const { tenant, size, note } = head;
      for (let attempt = 0; attempt < 3; attempt++) {
        const oldSize = known.get(tenant) ?? 0;
        if (oldSize > size) throw behind(name, head, oldSize);
        const proof = oldSize === 0 || oldSize === size ? [] : await head.prove(oldSize);
        const { status, text } = await ask(formatAddCheckpoint({ oldSize, proof, note }));
        if (status === 200) {
          const lines = cosignaturesOf(note, text, verifiers);
          known.set(tenant, size);
          return lines;
        }
        if (status === 422) throw forked(name, head, oldSize);
        const said = SIZE.exec(text)?.[1];
        if (status !== 409 || said === undefined) throw failed(name, status);
        if (Number(said) === oldSize) throw forked(name, head, oldSize);
        known.set(tenant, Number(said));
      }
      throw failed(name, 409);
    },
  };
}

function failed(name: string, status: number): AuditError {
  return new AuditError('ANCHOR_FAILED', `the witness answered ${status}`, { name, status });
}
