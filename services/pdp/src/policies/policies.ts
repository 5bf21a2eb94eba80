import type { Signer } from '@remit/bus';
import { makeCloudEvent, type PolicyEvent, SIGNED, subjects } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import type { Clock, Database, Directory, Outbox } from '@remit/service-kit';
import type { Transaction } from 'kysely';
import type { Engine } from '../cedar/engine.ts';
import { type GuardrailSet, readGuardrails } from '../cedar/guardrails.ts';
import { cedarSchema } from '../cedar/schema.ts';
import { PdpError } from '../errors.ts';
import {
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
import { runPolicyTests } from './policy-tests.ts';
import { toolsOf } from './registry-tools.ts';

export type Upload = { tenant: string; author: string; message: string; files: PolicyFiles };
export type Uploaded = VersionRef & { created: boolean; policies: number; tests: number };
export type Activated = VersionRef & { changed: boolean };

/** Uploads, activates and reads the policy sets of tenants. */
export type Policies = {
  /**
   * Checks a set (names, syntax, types against the tenant's tools, its own tests) and makes it an
   * immutable version; the same files again are the version that they were. Activates nothing.
   * Throws PdpError `POLICY_INVALID` with `{ problems }`; then nothing changed.
   */
  upload: (upload: Upload) => Promise<Uploaded>;
  /**
   * Makes a version the active one, from its commit on for every decision of every replica, and
   * publishes it. Throws PdpError `POLICY_VERSION_UNKNOWN`.
   */
  activate: (request: { tenant: string; version: string; by: string }) => Promise<Activated>;
  /** The active set: its id read from the database now, its policies parsed once. */
  active: (tenant: string) => Promise<GuardrailSet>;
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

  return {
    async upload({ tenant, author, message, files }) {
      const { cedar, tests } = splitFiles(files);
      const tools = await toolsOf(directory, tenant);
      const version = versionOf(files);
      const set = readGuardrails(version, cedar, cedarSchema(tools));
      const { problems, passed } = runPolicyTests(engine, set, tests, { tenant, tools });
      if (problems.length > 0)
        throw new PdpError('POLICY_INVALID', 'the policy set is not acceptable', { problems });
      const counts = { policies: set.guardrails.length, tests: passed };
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

    activate: ({ tenant, version, by }) =>
      database.withTenant(tenant, async (trx) => {
        await lockPolicies(trx, tenant);
        const wanted = await findVersion(trx, tenant, version);
        if (!wanted)
          throw new PdpError('POLICY_VERSION_UNKNOWN', 'there is no such version', { version });
        const before = await activeVersion(trx, tenant);
        if (before?.version === version) return { ...wanted, changed: false };
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
        return { ...wanted, changed: true };
      }),

    active: (tenant) =>
      database.withTenant(
        tenant,
        async (trx) => {
          const active = await activeVersion(trx, tenant);
          if (!active) return NO_GUARDRAILS;
          const known = parsed.get(active.version);
          if (known) return remember(known);
          const files = await readFiles(trx, tenant, active.version);
          if (!files || versionOf(files) !== active.version)
            throw new PdpError('POLICY_ERROR', 'the files of the active version are not its own', {
              version: active.version,
            });
          return remember(readGuardrails(active.version, splitFiles(files).cedar));
        },
        { readOnly: true },
      ),

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

/** Writes the signed event of an activation into the outbox, in the activation's transaction. */
function publish(
  { outbox, signer, clock }: PoliciesDeps,
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
