import type { Signer } from '@remit/bus';
import {
  makeCloudEvent,
  type PolicyEvent,
  SIGNED,
  subjects,
  type ToolBody,
} from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import type { Clock, Database, Directory, Outbox } from '@remit/service-kit';
import type { Transaction } from 'kysely';
import type { Engine } from '../cedar/engine.ts';
import { type GuardrailSet, readGuardrails } from '../cedar/guardrails.ts';
import { cedarSchema } from '../cedar/schema.ts';
import { PdpError } from '../errors.ts';
import {
  activationHistory,
  activeVersion,
  findVersion,
  insertActivation,
  insertVersion,
  listVersions,
  lockPolicies,
  readFiles,
  type VersionRef,
  type VersionSummary,
} from '../store/policies.ts';
import type { PdpTables, PolicyFiles } from '../store/tables.ts';
import { splitFiles, versionOf } from './files.ts';
import { type Finding, findingsOf } from './findings.ts';
import { runPolicyTests } from './policy-tests.ts';
import { toolsOf } from './registry-tools.ts';

export type Upload = { tenant: string; author: string; message: string; files: PolicyFiles };
export type Uploaded = VersionRef & { created: boolean; policies: number; tests: number };
export type Checked = {
  version: string;
  policies: number;
  tests: number;
  /** What is accepted and still deserves a look: guardrails that never decide anything. */
  findings: readonly Finding[];
};
export type Activated = VersionRef & { changed: boolean; replaces?: VersionRef };

/** Uploads, activates and reads the policy sets of tenants. */
export type Policies = {
  /**
   * Checks a set (names, syntax, types against the tenant's tools, its own tests) and makes it an
   * immutable version; the same files again are the version that they were. Activates nothing.
   * Throws PdpError `POLICY_INVALID` with `{ problems }`; then nothing changed.
   */
  upload: (upload: Upload) => Promise<Uploaded>;
  /** All checks of an upload, and nothing else: makes no version. Throws as `upload` does. */
  check: (set: { tenant: string; files: PolicyFiles }) => Promise<Checked>;
  /**
   * Makes a version the active one, from its commit on for every decision of every replica, and
   * publishes it. Its files are checked again first, against the tools of now: what does not fit any
   * more, or is not what was uploaded, leaves the active one in place. Throws PdpError
   * `POLICY_VERSION_UNKNOWN`, `POLICY_INVALID`, `POLICY_ERROR`.
   */
  activate: (request: { tenant: string; version: string; by: string }) => Promise<Activated>;
  /**
   * Activates the version that was active before the present one was; what was rolled back before is
   * passed over. `from`: only if this is the active version still. Throws as `activate` does, and
   * `POLICY_NOT_ACTIVE`.
   */
  rollback: (request: {
    tenant: string;
    by: string;
    from?: string | undefined;
  }) => Promise<Activated>;
  /** The active set: its id read from the database now, its policies parsed once. */
  active: (tenant: string) => Promise<GuardrailSet>;
  /** One version's set. Throws PdpError `POLICY_VERSION_UNKNOWN`, `POLICY_ERROR`. */
  get: (tenant: string, version: string) => Promise<GuardrailSet>;
  /** One version's files, as they were uploaded. Throws as `get` does. */
  files: (tenant: string, version: string) => Promise<PolicyFiles>;
  list: (tenant: string) => Promise<{ active?: VersionRef; versions: VersionSummary[] }>;
};

export type PoliciesDeps = {
  database: Database<PdpTables>;
  outbox: Outbox<PdpTables>;
  signer: Signer;
  recorder: Recorder;
  directory: Directory;
  engine: Engine;
  clock: Clock;
};

const KEPT_SETS = 128;

/** What decides where a tenant has no guardrails: the platform's own policy alone. */
const NO_GUARDRAILS: GuardrailSet = readGuardrails(versionOf({}), {});

export function createPolicies(deps: PoliciesDeps): Policies {
  const { database, directory, engine, recorder } = deps;
  const parsed = new Map<string, GuardrailSet>();

  const remember = (set: GuardrailSet): GuardrailSet => {
    parsed.delete(set.version);
    parsed.set(set.version, set);
    if (parsed.size > KEPT_SETS) parsed.delete(parsed.keys().next().value as string);
    return set;
  };

  async function checked(tenant: string, files: PolicyFiles) {
    const { cedar, tests } = splitFiles(files);
    const tools = await toolsOf(directory, tenant);
    const version = versionOf(files);
    const set = readGuardrails(version, cedar, cedarSchema(tools));
    const { problems, passed } = runPolicyTests(engine, set, tests, { tenant, tools });
    if (problems.length > 0)
      throw new PdpError('POLICY_INVALID', 'the policy set is not acceptable', { problems });
    return { version, set, counts: { policies: set.guardrails.length, tests: passed } };
  }

  async function filesOf(trx: Transaction<PdpTables>, tenant: string, version: string) {
    const files = await readFiles(trx, tenant, version);
    if (!files)
      throw new PdpError('POLICY_VERSION_UNKNOWN', 'there is no such version', { version });
    if (versionOf(files) !== version)
      throw new PdpError('POLICY_ERROR', 'the files of a version are not its own', { version });
    return files;
  }

  async function setOf(
    trx: Transaction<PdpTables>,
    tenant: string,
    version: string,
  ): Promise<GuardrailSet> {
    if (version === NO_GUARDRAILS.version) return NO_GUARDRAILS;
    const known = parsed.get(version);
    if (known && (await findVersion(trx, tenant, version))) return remember(known);
    const files = await filesOf(trx, tenant, version);
    return remember(readGuardrails(version, splitFiles(files).cedar));
  }

  async function activateIn(
    trx: Transaction<PdpTables>,
    request: { tenant: string; version: string; by: string },
    tools: readonly ToolBody[],
  ): Promise<Activated> {
    const { tenant, version, by } = request;
    const wanted = await findVersion(trx, tenant, version);
    if (!wanted)
      throw new PdpError('POLICY_VERSION_UNKNOWN', 'there is no such version', { version });
    const before = await activeVersion(trx, tenant);
    if (before?.version === version) return { ...wanted, changed: false };
    const files = await filesOf(trx, tenant, version);
    readGuardrails(version, splitFiles(files).cedar, cedarSchema(tools));
    const change = before && before.number > wanted.number ? 'rolled_back' : 'activated';
    const seq = await publish(deps, trx, tenant, { ...wanted, change });
    await insertActivation(trx, { tenant, seq, ...wanted, activated_by: by });
    await recorder.record(tenant, {
      event: 'policy.activated',
      decision: 'allow',
      reason: 'permitted',
      principal: by,
      policy_version: version,
      detail: { number: wanted.number, change, replaces: before?.version ?? 'none' },
    });
    return { ...wanted, changed: true, ...(before ? { replaces: before } : {}) };
  }

  return {
    async check({ tenant, files }) {
      const { version, set, counts } = await checked(tenant, files);
      return { version, ...counts, findings: findingsOf(set.guardrails) };
    },

    async upload({ tenant, author, message, files }) {
      const { version, counts } = await checked(tenant, files);
      return database.withTenant(tenant, async (trx) => {
        await lockPolicies(trx, tenant);
        const known = await findVersion(trx, tenant, version);
        if (known) return { ...known, created: false, ...counts };
        const made = await insertVersion(trx, { tenant, version, author, message, files });
        // Before the commit: a version that nobody can be asked about must not come to be.
        await recorder.record(tenant, {
          event: 'policy.uploaded',
          decision: 'allow',
          reason: 'permitted',
          principal: author,
          policy_version: version,
          detail: { number: made.number, ...counts },
        });
        return { ...made, created: true, ...counts };
      });
    },

    async activate(request) {
      const { tenant } = request;
      const tools = await toolsOf(directory, tenant);
      return database.withTenant(tenant, async (trx) => {
        await lockPolicies(trx, tenant);
        return activateIn(trx, request, tools);
      });
    },

    async rollback({ tenant, by, from }) {
      const tools = await toolsOf(directory, tenant);
      return database.withTenant(tenant, async (trx) => {
        await lockPolicies(trx, tenant);
        const [present, before] = stillStanding(await activationHistory(trx, tenant));
        if (from !== undefined && present?.version !== from)
          throw new PdpError('POLICY_NOT_ACTIVE', 'another version is active by now', {
            active: present?.version,
          });
        if (!before)
          throw new PdpError('POLICY_VERSION_UNKNOWN', 'no version was active before this one');
        return activateIn(trx, { tenant, version: before.version, by }, tools);
      });
    },

    active: (tenant) =>
      database.withTenant(
        tenant,
        async (trx) => {
          const active = await activeVersion(trx, tenant);
          if (!active) return NO_GUARDRAILS;
          const known = parsed.get(active.version);
          return known ? remember(known) : setOf(trx, tenant, active.version);
        },
        { readOnly: true },
      ),

    get: (tenant, version) =>
      database.withTenant(tenant, (trx) => setOf(trx, tenant, version), { readOnly: true }),

    files: (tenant, version) =>
      database.withTenant(tenant, (trx) => filesOf(trx, tenant, version), { readOnly: true }),

    list: (tenant) =>
      database.withTenant(
        tenant,
        async (trx) => {
          const active = await activeVersion(trx, tenant);
          return { ...(active ? { active } : {}), versions: await listVersions(trx, tenant) };
        },
        { readOnly: true, isolation: 'repeatable read' },
      ),
  };
}

/**
 * The active version and those behind it, as a stack: an activation of what lies in it takes away all
 * that came after, so that a version that was rolled back is not what a second rollback leads to.
 */
function stillStanding(history: readonly VersionRef[]): VersionRef[] {
  const stack: VersionRef[] = [];
  for (const one of history) {
    const at = stack.findIndex(({ version }) => version === one.version);
    if (at < 0) stack.push(one);
    else stack.length = at + 1;
  }
  return stack.toReversed();
}

/** Writes the signed event of an activation into the outbox, in the activation's transaction. */
export function publish(
  { outbox, signer, clock }: Pick<PoliciesDeps, 'outbox' | 'signer' | 'clock'>,
  trx: Transaction<PdpTables>,
  tenant: string,
  what: Omit<PolicyEvent, 'seq'>,
): Promise<number> {
  return outbox.enqueue(trx, {
    tenant,
    subject: subjects.policy(tenant),
    payload: (seq, id) => {
      const event = makeCloudEvent<PolicyEvent>(
        `policy.${what.change}`,
        { id, source: 'remit/pdp', time: new Date(clock.now()).toISOString(), subject: tenant },
        { seq, version: what.version, number: what.number, change: what.change },
      );
      return signer.sign(SIGNED.policy, JSON.stringify(event));
    },
  });
}
