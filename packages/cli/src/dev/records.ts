import { setTimeout as wait } from 'node:timers/promises';
import type { AuditRecord, DevFile } from '@remit/contracts';
import { CliError } from '../error.ts';
import { audienceOf, signInAs } from './people.ts';

/** What of a record's answer the commands read; `record` prints all of it. */
export type RecordView = {
  user: string | null;
  agents: string[];
  /** Personal values by JSON pointer. */
  values: Record<string, unknown>;
  record: AuditRecord | null;
};

const ARRIVAL_MS = 2_000;
const LOOK_EVERY_MS = 50;

/**
 * The record of a decision, asked for as an auditor; undefined when the ledger does not have it after
 * `waitMs`. A record needs a moment from the tool to the ledger. Throws CliError `REFUSED`.
 */
export async function fetchRecord(
  dev: DevFile,
  id: string,
  options: { auditor: string; waitMs?: number },
): Promise<RecordView | undefined> {
  const audience = audienceOf(dev, 'audit');
  const { accessToken } = await signInAs(dev, options.auditor, audience);
  const giveUpAt = performance.now() + (options.waitMs ?? ARRIVAL_MS);
  for (;;) {
    const response = await fetch(`${audience}/records/${encodeURIComponent(id)}`, {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    if (response.ok) return (await response.json()) as RecordView;
    if (response.status !== 404) {
      throw new CliError('REFUSED', `The audit service answered ${response.status}.`);
    }
    if (performance.now() > giveUpAt) return undefined;
    await wait(LOOK_EVERY_MS);
  }
}
