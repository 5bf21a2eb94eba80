import type { Signer } from '@remit/bus';
import {
  bodyDigest,
  canonicalText,
  conform,
  makeCloudEvent,
  type RegistryBody,
  type RegistryEvent,
  registryBody,
  SIGNED,
  subjects,
} from '@remit/contracts';
import { type Clock, type Outbox, wireError } from '@remit/service-kit';
import type { Transaction } from 'kysely';
import type { RegistryTables } from './tables.ts';

export type RegistryTransaction = Transaction<RegistryTables>;
export type Change = Pick<RegistryEvent, 'change' | 'entity' | 'id'>;

/** What writes changes: the outbox, and the key that signs events. */
export type ChangeWriter = {
  /**
   * Gives the changes of one transaction the tenant's next revision and puts one signed event for
   * each into the outbox. The caller holds the tenant's row. Returns the revision.
   */
  write: (trx: RegistryTransaction, tenant: string, changes: readonly Change[]) => Promise<number>;
};

export function createChangeWriter(options: {
  outbox: Outbox<RegistryTables>;
  signer: Signer;
  clock: Clock;
}): ChangeWriter {
  const { outbox, signer, clock } = options;
  return {
    write: async (trx, tenant, changes) => {
      const { revision } = await trx
        .updateTable('tenants')
        .set((eb) => ({ revision: eb('revision', '+', 1) }))
        .where('tenant', '=', tenant)
        .returning('revision')
        .executeTakeFirstOrThrow();
      for (const { entity, id, change } of changes) {
        await outbox.enqueue(trx, {
          tenant,
          subject: subjects.registry(tenant, entity),
          payload: (seq, messageId) => {
            const fields = {
              id: messageId,
              source: 'urn:remit:registry',
              subject: tenant,
              time: new Date(clock.now()).toISOString(),
            };
            const data: RegistryEvent = { seq, revision, entity, id, change };
            const event = makeCloudEvent('registry.changed', fields, data);
            return signer.sign(SIGNED.registry, JSON.stringify(event));
          },
        });
      }
      return revision;
    },
  };
}

/** Locks the tenant's row until commit: changes of one tenant happen one after the other. */
export async function lockTenant(trx: RegistryTransaction, tenant: string) {
  return trx
    .selectFrom('tenants')
    .selectAll()
    .where('tenant', '=', tenant)
    .forUpdate()
    .executeTakeFirst();
}

/** {@link lockTenant}, for a tenant that must be there. Throws WireError `TENANT_UNKNOWN`. */
export async function requireTenant(trx: RegistryTransaction, tenant: string) {
  const row = await lockTenant(trx, tenant);
  if (!row) throw wireError('TENANT_UNKNOWN');
  return row;
}

/** Stores a body under its digest and returns that. Throws when it does not follow its schema. */
export async function putBody(
  trx: RegistryTransaction,
  tenant: string,
  body: RegistryBody,
): Promise<string> {
  const text = canonicalText(conform(registryBody, body));
  const digest = bodyDigest(text);
  await trx
    .insertInto('bodies')
    .values({ tenant, digest, kind: body.kind, text })
    .onConflict((conflict) => conflict.columns(['tenant', 'digest']).doNothing())
    .execute();
  return digest;
}

/** The digest of anything that has a canonical form: to see whether it changed. */
export function specDigest(value: unknown): string {
  return bodyDigest(canonicalText(value));
}
