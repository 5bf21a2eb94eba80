import type { Bus, StreamMessage, Verifier } from '@remit/bus';
import {
  cloudEvent,
  conform,
  durables,
  parseJsonStrict,
  policyEvent,
  type RegistryEvent,
  type RevocationKind,
  registryEvent,
  SIGNED,
  type SignedType,
  tenantId,
} from '@remit/contracts';
import type { Database, Logger } from '@remit/service-kit';
import type { Journal } from '../domain/journal.ts';
import { allTenants } from '../store/lease.ts';
import { backTo, quarantine, type Source, skipTo, takeIn } from '../store/positions.ts';
import type { Tables } from '../store/tables.ts';

/** What a change of another service takes away: somebody, or the standing of earlier decisions. */
export type Effect =
  | { verb: 'revoke'; kind: RevocationKind; id: string }
  | { verb: 'recheck' }
  | { verb: 'none' };

export type Change = { source: Source; tenant: string; seq: number; effect: Effect };

const registryMessage = cloudEvent(registryEvent);
const policyMessage = cloudEvent(policyEvent);

/** Entities whose end is a revocation by itself. */
const REVOCABLE: Partial<Record<RegistryEvent['entity'], RevocationKind>> = {
  agent: 'agent',
  client: 'client',
  tenant: 'tenant',
  user: 'user',
};

/** What a registry event takes away. What is new takes nothing. */
function effectOf({ entity, id, change }: RegistryEvent): Effect {
  if (change === 'created' || change === 'activated') return { verb: 'none' };
  const kind = REVOCABLE[entity];
  if (kind && (change === 'deactivated' || change === 'removed')) {
    return { verb: 'revoke', kind, id };
  }
  return { verb: 'recheck' };
}

/** Believes a stream's message after signature, type, schema and tenant; throws otherwise. */
function readChange(
  source: Source,
  verifier: Verifier,
  message: { subject: string; data: Uint8Array },
): Change {
  const typ: SignedType = source === 'registry' ? SIGNED.registry : SIGNED.policy;
  const text = Buffer.from(verifier.verify(typ, message.data)).toString('utf8');
  const json = parseJsonStrict(text);
  // The subject isn't signed; the tenant inside has to be the one outside.
  const tenant = tenantId(message.subject.split('.')[2] ?? '');
  if (source === 'registry') {
    const { subject, data } = conform(registryMessage, json);
    assertTenant(subject, tenant);
    return { source, tenant, seq: data.seq, effect: effectOf(data) };
  }
  const { subject, data } = conform(policyMessage, json);
  assertTenant(subject, tenant);
  return { source, tenant, seq: data.seq, effect: { verb: 'recheck' } };
}

function assertTenant(signed: string | undefined, tenant: string): void {
  if (signed !== tenant) {
    throw new Error('the event was signed for another tenant');
  }
}

/**
 * Takes in what registry and pdp say: each event once, by its source and sequence, in the transaction
 * that writes its effect. Events of one tenant that come together need one `recheck`.
 */
export function createChanges(options: {
  database: Database<Tables>;
  journal: Journal;
  log: Logger;
  verifiers: Record<Source, Verifier>;
  onApplied?: (change: Change) => void;
  onQuarantined?: (source: Source) => void;
}) {
  const { database, journal, log, verifiers, onApplied, onQuarantined } = options;

  async function apply(source: Source, tenant: string, changes: readonly Change[]): Promise<void> {
    const applied = await database.withTenant(tenant, async (trx) => {
      const fresh: Change[] = [];
      for (const change of changes) {
        if (await takeIn(trx, source, change.seq)) fresh.push(change);
      }
      const by = { kind: 'service', id: source } as const;
      for (const { effect, seq } of fresh) {
        if (effect.verb !== 'revoke') continue;
        const { kind, id } = effect;
        await journal.revoke(trx, tenant, { kind, id, by, reason: `${source} event ${seq}` });
      }
      const recheck = fresh.findLast(({ effect }) => effect.verb === 'recheck');
      if (recheck) await journal.recheck(trx, tenant, by, `${source} event ${recheck.seq}`);
      return fresh;
    });
    for (const change of applied) onApplied?.(change);
  }

  async function take(source: Source, messages: readonly StreamMessage[]): Promise<void> {
    let run: Change[] = [];
    const flush = async (): Promise<void> => {
      const [first] = run;
      if (first) await apply(source, first.tenant, run);
      run = [];
    };
    for (const message of messages) {
      let change: Change;
      try {
        change = readChange(source, verifiers[source], message);
      } catch (error) {
        // Its sequence, if it has one, stays missing: nothing is fresh until the gap is dealt with.
        log.error({ err: error, subject: message.subject }, 'an event is not believed');
        onQuarantined?.(source);
        const why = error instanceof Error ? error.message : 'unreadable';
        const { subject, data } = message;
        await quarantine(database, { stream: source, subject, why, payload: data });
        continue;
      }
      if (run[0] && run[0].tenant !== change.tenant) await flush();
      run.push(change);
    }
    await flush();
  }

  async function recheckAll(source: Source, reason: string): Promise<void> {
    const by = { kind: 'service', id: source } as const;
    for (const tenant of await allTenants(database)) {
      await database.withTenant(tenant, (trx) => journal.recheck(trx, tenant, by, reason));
    }
  }

  return {
    take,
    /** Reads both streams as the durable `revocation`; the replicas share it. */
    consume: (bus: Bus) => {
      const { registryRevocation, policyRevocation } = durables;
      const { stream: registryStream, durable: registryDurable } = registryRevocation;
      const { stream: policyStream, durable: policyDurable } = policyRevocation;
      return [
        bus.consume({ stream: registryStream, durable: registryDurable, consumer: {} }, (batch) =>
          take('registry', batch),
        ),
        bus.consume({ stream: policyStream, durable: policyDurable, consumer: {} }, (batch) =>
          take('pdp', batch),
        ),
      ];
    },
    /**
     * Gives up on events that the stream doesn't have any more. Whatever they were, from here on
     * every token decided before is asked about at the PDP, which reads who is active now.
     */
    skipLost: async (source: Source, head: number): Promise<void> => {
      log.error({ source, head }, 'events are lost; everything decided before is checked again');
      await recheckAll(source, `events of ${source} up to ${head} are lost`);
      await database.withSystem((trx) => skipTo(trx, source, head));
    },
    /**
     * Follows a source whose store was put back to `head`: its next events have numbers that were seen
     * and would be taken for repetitions. What was decided before is asked about at the PDP.
     */
    goBack: async (source: Source, head: number): Promise<void> => {
      log.error({ source, head }, 'a source went back; everything decided before is checked again');
      await recheckAll(source, `${source} went back to ${head}`);
      await database.withSystem((trx) => backTo(trx, source, head));
    },
  };
}

export type Changes = ReturnType<typeof createChanges>;
