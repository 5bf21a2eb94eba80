import { isReason, REASONS } from '@remit/contracts';
import { stripped } from '../stripped.ts';
import { permissionInWords } from '../words.ts';
import type { RecordView } from './records.ts';

/** What a refused caller was told. Without `decision` nothing was recorded under an id. */
export type Told = { code: string; sentence?: string; dimension?: string; decision?: string };

/**
 * A refusal for a developer's terminal: what the caller was told, and with the auditor's record what
 * was asked, what was allowed and which test failed. The caller itself never sees the latter.
 */
export function deniedInWords(told: Told, view: RecordView | undefined): string {
  const { code, decision } = told;
  const record = view?.record;
  const meaning = isReason(code) ? REASONS[code] : undefined;
  const dimension = told.dimension ?? refusing(record?.dimensions);
  const rows: [string, string | undefined][] = [
    ['code', isReason(code) ? `${code} (docs/error-codes.md#${code})` : code],
    ['dimension', dimension],
    ['asked', view && askedOf(view)],
    ['for', view && [view.user ?? '–', ...view.agents].join(' → ')],
    ['task', record?.task?.type],
    ...(record?.scope ?? []).map((permission, index): [string, string] => [
      index === 0 ? 'allowed' : '',
      permissionInWords(permission),
    ]),
    ['failed', [record?.miss?.path, record?.miss?.test].filter(Boolean).join(', ') || undefined],
    ['policies', record?.policies?.join(', ') || undefined],
    ['decision', decision && `${decision} (npm run -s dev -- record ${decision})`],
  ];
  const lines = rows.flatMap(([name, text]) =>
    text ? [`  ${name.padEnd(10)} ${stripped(text)}`] : [],
  );
  return [`Refused: ${stripped(told.sentence ?? meaning ?? code)}`, ...lines].join('\n');
}

/** What was tried, with the arguments that are not erased. */
function askedOf({ record, values }: RecordView): string | undefined {
  if (!record?.operation) return undefined;
  const { action, resource } = record.operation;
  const prefix = '/operation/args/';
  const args = Object.entries(values)
    .filter(([pointer]) => pointer.startsWith(prefix))
    .map(([pointer, value]) => `${pointer.slice(prefix.length)} ${JSON.stringify(value)}`);
  return `${action} on ${resource}${args.length > 0 ? `: ${args.join(', ')}` : ''}`;
}

function refusing(dimensions: object | undefined): string | undefined {
  return Object.entries(dimensions ?? {}).find(([, verdict]) => verdict === 'deny')?.[0];
}
