import { ask, type Service } from '../service.ts';
import { stripped } from '../stripped.ts';
import type { Said } from './commands.ts';
import { listVersions, pick, short } from './versions.ts';

type Outcome = {
  decision: string;
  reason: string;
  policies: string[];
  local?: number;
  online?: number;
};
type Results = {
  shadow: { version: string; since: string } | null;
  version: string | null;
  tally: { same: number; different: number; failed: number };
  differences: {
    id: string;
    at: string;
    kind: string;
    actors: string[];
    task_type: string;
    action?: string;
    resource?: string;
    active: Outcome;
    shadow: Outcome;
  }[];
};

const PATH = '/admin/v1/policies';

/** `policy shadow VERSION`: decided and recorded beside the active version, never enforced. */
export async function shadowStart(pdp: Service, named: string): Promise<Said> {
  const versions = await listVersions(pdp);
  const version = pick(versions, named);
  const data = await ask<object>(pdp, 'POST', `${PATH}/${version}/shadow`);
  return {
    data,
    text: `Version ${named} (${short(version)}) is decided beside the active one and never enforced. "remit policy shadow" shows what it would change.`,
  };
}

/** `policy shadow --off`. */
export async function shadowStop(pdp: Service): Promise<Said> {
  const data = await ask<object>(pdp, 'DELETE', `${PATH}/shadow`);
  return { data, text: 'No version is in shadow any more. Its results stay.' };
}

/** `policy shadow`: what the version in shadow would have decided otherwise. */
export async function shadowResults(pdp: Service): Promise<Said> {
  const data = await ask<Results>(pdp, 'GET', `${PATH}/shadow?limit=500`);
  const { shadow, tally, differences } = data;
  if (!shadow)
    return { data, text: 'No version is in shadow. Begin with "remit policy shadow VERSION".' };
  const total = tally.same + tally.different + tally.failed;
  const lines = differences.map(
    ({ at, kind, actors, action, resource, task_type: task, ...two }) => {
      const what = kind === 'mint' ? `token for ${task}` : `${action ?? ''} ${resource ?? ''}`;
      return `  ${at.slice(0, 19)}Z  ${said(two.active)} → ${said(two.shadow)}  ${stripped(`${actors.join(' → ')}  ${what}`)}`;
    },
  );
  return {
    data,
    text: [
      `Version ${short(shadow.version)} in shadow since ${shadow.since.slice(0, 19)}Z: ${total} decisions, ${tally.different} different, ${tally.failed} failed.`,
      ...lines,
    ].join('\n'),
  };
}

function said({ decision, reason, policies, online }: Outcome): string {
  if (decision === 'allow') return online ? `ALLOW (${online} asked online)` : 'ALLOW';
  return `DENY (${reason}${policies.length > 0 ? `: ${policies.join(', ')}` : ''})`;
}
