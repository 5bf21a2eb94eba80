import { canonicalText, sha256 } from '@remit/contracts';
import type { ExternalConfig } from '../decide/external.ts';
import { activeVersion, lockPolicies } from '../store/policies.ts';
import { versionOf } from './files.ts';
import { type PoliciesDeps, publish } from './policies.ts';

/**
 * Says once, as a policy event, that a tenant has got a decision point of its own, or another one: every
 * permission that was minted without it is asked again. One that is gone needs no word: it could only
 * refuse.
 */
export async function announceExternals(
  deps: Pick<PoliciesDeps, 'database' | 'outbox' | 'signer' | 'clock'>,
  externals: Readonly<Record<string, ExternalConfig>>,
): Promise<void> {
  for (const [tenant, { url }] of Object.entries(externals)) {
    const digest = sha256(canonicalText(url));
    await deps.database.withTenant(tenant, async (trx) => {
      await lockPolicies(trx, tenant);
      const known = await trx
        .selectFrom('external_guardrails')
        .select('digest')
        .where('tenant', '=', tenant)
        .executeTakeFirst();
      if (known?.digest === digest) return;
      const active = await activeVersion(trx, tenant);
      const { version, number } = active ?? { version: versionOf({}), number: 0 };
      await publish(deps, trx, tenant, { version, number, change: 'activated' });
      await trx
        .insertInto('external_guardrails')
        .values({ tenant, digest })
        .onConflict((conflict) => conflict.column('tenant').doUpdateSet({ digest }))
        .execute();
    });
  }
}
