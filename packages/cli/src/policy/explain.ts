import { setTimeout as wait } from 'node:timers/promises';
import type { RecordView } from '../dev/records.ts';
import { CliError } from '../error.ts';
import { ask, type Service } from '../service.ts';
import { stripped } from '../stripped.ts';
import type { Said } from './commands.ts';
import { recordedOf } from './recorded.ts';
import { short } from './versions.ts';

type Explanation = {
  sentence: string;
  policy_version: string;
  dimensions: { dimension: string; verdict: string; sentence: string }[];
  policies: { id: string; file: string; text: string }[];
  caveats: string[];
};

const LOOK_AGAIN_MS = 100;
const ARRIVAL_MS = 2_000;

/**
 * `explain ID`: why a decision was made, with the policies of its version. Throws CliError `NOT_FOUND`
 * where the ledger has no such decision, `REFUSED` where what is left of it cannot be decided again.
 */
export async function explainDecision(
  services: { pdp: Service; audit: Service },
  id: string,
): Promise<Said> {
  const view = await recordOf(services.audit, id);
  const recorded = recordedOf(view);
  if (typeof recorded === 'string')
    throw new CliError(
      'REFUSED',
      `${id} cannot be taken apart again: ${recorded}. "remit dev record ${id}" prints what the ledger holds.`,
    );
  const data = await ask<Explanation>(services.pdp, 'POST', '/admin/v1/explain', recorded);
  const width = 9;
  const lines = [
    data.sentence,
    '',
    ...data.dimensions.map(
      ({ dimension, verdict, sentence }) =>
        `  ${dimension.padEnd(width)} ${verdict.replace('_', ' ').padEnd(13)} ${sentence}`,
    ),
    `  ${'version'.padEnd(width)} ${short(data.policy_version)}`,
    ...data.policies.flatMap(({ id: policy, file, text }) => [
      '',
      `  ${policy} (${file})`,
      ...text.split('\n').map((line) => `    ${stripped(line)}`),
    ]),
    ...(data.caveats.length > 0 ? ['', ...data.caveats.map((caveat) => `  note: ${caveat}`)] : []),
  ];
  return { data, text: lines.map(stripped).join('\n') };
}

/** A record needs a moment from the tool to the ledger. */
async function recordOf(audit: Service, id: string): Promise<RecordView> {
  const giveUpAt = performance.now() + ARRIVAL_MS;
  for (;;) {
    try {
      return await ask<RecordView>(audit, 'GET', `/records/${encodeURIComponent(id)}`);
    } catch (error) {
      if (!(error instanceof CliError) || error.code !== 'NOT_FOUND') throw error;
      if (performance.now() > giveUpAt)
        throw new CliError(
          'NOT_FOUND',
          `The ledger has no record ${id}. Calls of strangers are counted, not listed; is the id that of a Remit-Decision header?`,
        );
      await wait(LOOK_AGAIN_MS);
    }
  }
}
