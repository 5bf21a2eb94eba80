import { stripVTControlCharacters, styleText } from 'node:util';
import type { AuditMessage } from '@remit/contracts';

type Style = Parameters<typeof styleText>[0];

/**
 * One line of text for one record: time, decision, user → agents, action, resource, dimension and
 * reason. Text from outside can't move the cursor or fake a second line: control characters go.
 */
export function recordLine(message: AuditMessage, options: { colour: boolean }): string {
  const { record } = message;
  const paint = (style: Style, text: string) =>
    options.colour ? styleText(style, text, { validateStream: false }) : text;

  const verdict = record.decision ?? record.event;
  const who = [userOf(message), ...(record.act_chain ?? [])].filter(Boolean).join(' → ');
  const what = record.operation
    ? `${record.operation.action} ${record.operation.resource}`
    : record.event === 'decision'
      ? ''
      : [record.decision && record.event, record.task?.type].filter(Boolean).join(' ');
  const dimension = Object.entries(record.dimensions ?? {}).find(
    ([, said]) => said === 'deny',
  )?.[0];
  const why = [dimension && `${dimension}:`, record.reason].filter(Boolean).join(' ');
  const parts = [
    paint('dim', record.time.slice(11, 23)),
    paint(styleOf(record.decision), clean(verdict).padEnd(14)),
    paint('bold', clean(who || record.producer.service)),
    clean(what),
    why && paint(record.decision === 'deny' ? 'red' : 'dim', clean(why)),
    record.count !== undefined && `×${record.count}`,
    paint('dim', record.id),
  ];
  return parts.filter(Boolean).join('  ');
}

/** The user in clear, from the disclosure beside the record; an erased one is a dash. */
export function userOf({ record, disclosures }: AuditMessage): string {
  if (!record.principal) return '';
  const value = disclosures['/principal']?.value;
  return typeof value === 'string' ? value : '–';
}

function styleOf(decision: 'allow' | 'deny' | undefined): Style {
  if (decision === undefined) return 'cyan';
  return decision === 'allow' ? 'green' : 'red';
}

/** CWE-117 and CWE-150: one record is one line, whatever an agent called itself. */
function clean(text: string): string {
  return stripVTControlCharacters(text).replace(
    /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    '',
  );
}
