import type { RecordView } from '../dev/records.ts';
import { CliError } from '../error.ts';
import { ask, type Service } from '../service.ts';
import { stripped } from '../stripped.ts';
import type { Said } from './commands.ts';
import { type Left, type RecordedDecision, recordedOf } from './recorded.ts';
import { listVersions, pick, short } from './versions.ts';

type Outcome = { decision: string; reason: string; policies: string[] };
type Change = 'allowed' | 'denied' | 'none' | 'reason';
type Replayed = {
  id: string;
  change: Change;
  base: Outcome;
  candidate: Outcome;
  drifted: boolean;
};
type Answer = { base: string; candidate: string; decisions: Replayed[] };

const PAGE = 200;
const AT_ONCE = 100;

export type ReplayOptions = {
  /** `7d`, `12h`, `30m`. */
  since: string;
  /** At most this many decisions, the newest first. */
  limit: number;
  /** The version to compare with; the active one unless given. */
  against?: string;
};

/**
 * `policy replay VERSION`: what a version would have decided of what the ledger holds. Reads the ledger as
 * an auditor, asks the pdp, changes nothing. Throws CliError.
 */
export async function policyReplay(
  services: { pdp: Service; audit: Service },
  named: string,
  options: ReplayOptions,
): Promise<Said> {
  const { pdp, audit } = services;
  const versions = await listVersions(pdp);
  const version = pick(versions, named);
  const against = options.against === undefined ? {} : { against: pick(versions, options.against) };
  const { decisions, left } = await recordedSince(audit, options);
  const replayed: Replayed[] = [];
  let base = options.against === undefined ? (versions.active?.version ?? '') : '';
  for (let from = 0; from < decisions.length; from += AT_ONCE) {
    const answer = await ask<Answer>(pdp, 'POST', `/admin/v1/policies/${version}/replay`, {
      ...against,
      decisions: decisions.slice(from, from + AT_ONCE),
    });
    base = answer.base;
    replayed.push(...answer.decisions);
  }
  const byId = new Map(decisions.map((one) => [one.id, one]));
  return {
    data: { base, candidate: version, left: Object.fromEntries(left), decisions: replayed },
    text: inWords({ base, version, replayed, byId, left, since: options.since }),
  };
}

async function recordedSince(audit: Service, { since, limit }: ReplayOptions) {
  const from = new Date(Date.now() - msOf(since)).toISOString().replace(/\.\d+Z$/, 'Z');
  const decisions: RecordedDecision[] = [];
  const left = new Map<Left, number>();
  let cursor: string | undefined;
  do {
    const query = new URLSearchParams({ event: 'decision', from, limit: String(PAGE) });
    if (cursor) query.set('cursor', cursor);
    const page = await ask<{ records: RecordView[]; next?: string }>(
      audit,
      'GET',
      `/records?${query.toString()}`,
    );
    for (const view of page.records) {
      const recorded = recordedOf(view);
      if (typeof recorded === 'string') left.set(recorded, (left.get(recorded) ?? 0) + 1);
      else decisions.push(recorded);
    }
    cursor = page.next;
  } while (cursor !== undefined && decisions.length < limit);
  return { decisions: decisions.slice(0, limit), left };
}

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000 } as const;

function msOf(since: string): number {
  const [, count, unit] = /^([1-9][0-9]{0,4})([dhm])$/.exec(since) ?? [];
  if (!count || !unit)
    throw new CliError('USAGE', `--since wants a time like 7d, 12h or 30m, not ${since}.`);
  return Number(count) * UNITS[unit as keyof typeof UNITS];
}

const TITLES = {
  denied: 'would be refused',
  allowed: 'would be allowed',
  reason: 'would be decided the same for another reason',
} as const;

function inWords(found: {
  base: string;
  version: string;
  replayed: readonly Replayed[];
  byId: ReadonlyMap<string, RecordedDecision>;
  left: ReadonlyMap<Left, number>;
  since: string;
}): string {
  const { base, version, replayed, byId, left, since } = found;
  const count = (change: Change) => replayed.filter((one) => one.change === change).length;
  const lines = [
    `Replayed ${replayed.length} decisions of the last ${since} under ${short(version)}, compared with ${short(base)}:`,
    `  ${count('none')} the same, ${count('denied')} would be refused, ${count('allowed')} would be allowed, ${count('reason')} for another reason`,
  ];
  const drifted = replayed.filter((one) => one.drifted).length;
  if (drifted > 0)
    lines.push(
      `  ${drifted} are decided otherwise today even by ${short(base)}: agent, user, token or policies have changed since`,
    );
  for (const [why, times] of left) lines.push(`  ${times} left out: ${why}`);
  for (const change of ['denied', 'allowed', 'reason'] as const) {
    const these = replayed.filter((one) => one.change === change);
    if (these.length === 0) continue;
    lines.push('', TITLES[change]);
    for (const [text, times] of grouped(these, byId)) lines.push(`  ${times}×  ${text}`);
  }
  return lines.join('\n');
}

/** Like decisions in one line, the most frequent first. */
function grouped(
  these: readonly Replayed[],
  byId: ReadonlyMap<string, RecordedDecision>,
): [string, number][] {
  const counts = new Map<string, number>();
  for (const { id, candidate, base, change } of these) {
    const recorded = byId.get(id);
    if (!recorded) continue;
    const { user, actors, operation, task } = recorded;
    const who = [user, ...actors].join(' → ');
    const policies = change === 'allowed' ? base.policies : candidate.policies;
    const by = `${change === 'allowed' ? 'no longer by' : 'by'} ${policies.join(', ')}`;
    const text = stripped(
      `${who}  ${operation.action} ${operation.resource}  ${by} (task ${task.type})`,
    );
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].toSorted(([, a], [, b]) => b - a);
}
