import { ask, type Service } from '../service.ts';
import { stripped } from '../stripped.ts';
import { readPolicyFolder } from './folder.ts';
import { listVersions, pick, short } from './versions.ts';

/** What a verb found, and how a person reads it. `--json` prints `data` as it is. */
export type Said = { data: unknown; text: string };
type Finding = { message: string };
type Checked = { version: string; policies: number; tests: number; findings: Finding[] };

const ADMIN = '/admin/v1/policies';
const plural = (count: number, one: string, many = `${one}s`) =>
  `${count} ${count === 1 ? one : many}`;

/** `policy test FOLDER`: all that an upload checks, the tests included; makes no version. */
export async function policyTest(pdp: Service, folder: string): Promise<Said> {
  const files = readPolicyFolder(folder);
  const data = await ask<Checked>(pdp, 'POST', `${ADMIN}/check`, { files });
  const { version, policies, tests, findings } = data;
  const notes = findings.map(({ message }) => `note  ${stripped(message)}`);
  return {
    data,
    text: [
      `OK    ${plural(policies, 'policy', 'policies')}, ${plural(tests, 'test')} passed (${short(version)})`,
      ...notes,
    ].join('\n'),
  };
}

/** `policy push FOLDER`: makes an immutable version; activates nothing. */
export async function policyPush(pdp: Service, folder: string, message: string): Promise<Said> {
  const files = readPolicyFolder(folder);
  const data = await ask<Checked & { number: number; created: boolean }>(pdp, 'POST', ADMIN, {
    message,
    files,
  });
  const { number, version, created, policies, tests } = data;
  return {
    data,
    text: `Version ${number} (${short(version)}) ${created ? 'made' : 'was there already'}: ${plural(policies, 'policy', 'policies')}, ${plural(tests, 'test')} passed. It decides nothing before "remit policy activate ${number}".`,
  };
}

/** `policy list`: the versions, the newest first. */
export async function policyList(pdp: Service): Promise<Said> {
  const data = await listVersions(pdp);
  const lines = data.versions.map(({ number, version, author, message, created_at: at }) => {
    const mark = data.active?.version === version ? '*' : ' ';
    return `${mark} ${String(number).padStart(4)}  ${short(version)}  ${at.slice(0, 19)}Z  ${stripped(author)}  ${stripped(message)}`;
  });
  return {
    data,
    text:
      lines.join('\n') || 'There are no versions yet. Make one with "remit policy push FOLDER".',
  };
}

type Activated = {
  number: number;
  version: string;
  changed: boolean;
  replaces?: { number: number; version: string };
};

/** `policy activate VERSION`: it decides from now on, in every replica. */
export async function policyActivate(pdp: Service, named: string): Promise<Said> {
  const version = pick(await listVersions(pdp), named);
  return activated(await ask<Activated>(pdp, 'POST', `${ADMIN}/${version}/activate`));
}

/** `policy rollback`: what was active before the active version decides again. */
export async function policyRollback(pdp: Service): Promise<Said> {
  const { active } = await listVersions(pdp);
  // Between the look and the request somebody else may have activated another one.
  const from = active ? { from: active.version } : {};
  return activated(await ask<Activated>(pdp, 'POST', `${ADMIN}/rollback`, from));
}

function activated(data: Activated): Said {
  const { number, version, changed, replaces } = data;
  if (!changed) return { data, text: `Version ${number} (${short(version)}) is active already.` };
  const before = replaces ? ` in place of version ${replaces.number}` : '';
  return {
    data,
    text: `Version ${number} (${short(version)}) decides from now on${before}. Tokens that were minted before are asked about again.`,
  };
}

type Difference = {
  from: string;
  to: string;
  added: { id: string; text: string }[];
  removed: { id: string; text: string }[];
  changed: { id: string; before: string; after: string }[];
};

/** `policy diff VERSION [OTHER]`: guardrail by guardrail, against the active version unless given. */
export async function policyDiff(pdp: Service, named: string, other?: string): Promise<Said> {
  const versions = await listVersions(pdp);
  const version = pick(versions, named);
  const against = other === undefined ? '' : `?against=${pick(versions, other)}`;
  const data = await ask<Difference>(pdp, 'GET', `${ADMIN}/${version}/diff${against}`);
  const block = (mark: string, text: string) =>
    text.split('\n').map((line) => `${mark} ${stripped(line)}`);
  const lines = [
    ...data.removed.flatMap(({ text }) => block('-', text)),
    ...data.added.flatMap(({ text }) => block('+', text)),
    ...data.changed.flatMap(({ before, after }) => [...block('-', before), ...block('+', after)]),
  ];
  return {
    data,
    text: [
      `${short(data.from)} → ${short(data.to)}: ${data.added.length} added, ${data.removed.length} removed, ${data.changed.length} changed`,
      ...lines,
    ].join('\n'),
  };
}
