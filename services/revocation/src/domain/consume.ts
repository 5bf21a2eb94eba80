import type { ConsumeRequest, ConsumeResponse, Rev } from '@remit/contracts';
import { type Database, wireError } from '@remit/service-kit';
import { readPoint } from '../store/point.ts';
import { revocationsNaming } from '../store/revocations.ts';
import type { Tables, Trx } from '../store/tables.ts';
import { insertUses, insertUsesIfClear, type NewUse, ownersOf } from '../store/uses.ts';
import { firstHit, naming } from './check.ts';
import { CLOCK_SKEW_SECONDS, MAX_TOKEN_SECONDS } from './lifetimes.ts';

/** A consumption as it was asked for, and the PEP that asks. */
export type Consumption = ConsumeRequest & { pep: string };

/** What became of one of several: its own answer or its own refusal. `fresh`: spent just now. */
export type Consumed =
  | { answer: ConsumeResponse; fresh: boolean; head: Rev }
  | { refused: ReturnType<typeof wireError> };

/**
 * Consumes several uses of a tenant in one transaction; each has its own answer, in their order.
 * The first insert of a use id wins, over all PEPs and replicas. The attempt that has the row gets
 * `consumed` however often it asks, every other one `spent`. What is revoked at this moment, or has
 * another epoch, consumes nothing; a revocation that is committed later is the PEP's own to see.
 * Refuses (`CONFLICT`) a token that has expired or lives longer than MAX_TOKEN_SECONDS from now: how
 * long the row is kept rests on that.
 */
export async function consumeAll(
  trx: Trx,
  tenant: string,
  asked: readonly Consumption[],
  { retentionSeconds }: { retentionSeconds: number },
): Promise<Consumed[]> {
  const { epoch, seq, timeMs } = await readPoint(trx, tenant);
  const now = Math.floor(timeMs / 1_000);
  const head = { epoch, seq };
  const named = { tokens: asked.map(({ token }) => token), tasks: [], keys: [] };
  const revocations = await revocationsNaming(trx, tenant, named);
  const barred = asked.map(({ token }): Consumed | undefined => {
    if (!livesNow(token.exp, now)) {
      const detail = 'The token does not end within fifteen minutes.';
      return { refused: wireError('CONFLICT', { detail }) };
    }
    const only = { tokens: [token], tasks: [], keys: [] };
    const revoked = firstHit(tenant, head, only, naming(tenant, token, revocations));
    return revoked && { answer: { outcome: 'revoked', revoked }, fresh: false, head };
  });
  const inserted = await insertUses(
    trx,
    tenant,
    asked
      .filter((_, at) => barred[at] === undefined)
      .map((one) => {
        const { exp, ...use } = useOf(one);
        return { ...use, keep_until: Math.max(now, exp) + retentionSeconds };
      }),
  );
  return answersOf(asked, { inserted, head, barred }, (uses) => ownersOf(trx, tenant, uses));
}

/**
 * As `consumeAll`, in one round trip to the database wherever nothing speaks against any of them and
 * all are new, which is how it nearly always is.
 */
export async function consumeTogether(
  database: Database<Tables>,
  tenant: string,
  asked: readonly Consumption[],
  { retentionSeconds }: { retentionSeconds: number },
): Promise<Consumed[]> {
  const done = await insertUsesIfClear(database, tenant, {
    tokens: asked.map(({ token }) => token),
    uses: asked.map(useOf),
    retentionSeconds,
    skewSeconds: CLOCK_SKEW_SECONDS,
    lifeSeconds: MAX_TOKEN_SECONDS,
  });
  return done
    ? answersOf(asked, { ...done, barred: [] }, (uses) =>
        database.withTenant(tenant, (trx) => ownersOf(trx, tenant, uses)),
      )
    : database.withTenant(tenant, (trx) => consumeAll(trx, tenant, asked, { retentionSeconds }));
}

function useOf({ use_id, attempt, pep, token, audience }: Consumption): NewUse {
  return { use_id, attempt, pep, audience, jti: token.jti, task: token.task, exp: token.exp };
}

async function answersOf(
  asked: readonly Consumption[],
  done: {
    inserted: readonly Pick<NewUse, 'use_id' | 'attempt'>[];
    head: Rev;
    barred: readonly (Consumed | undefined)[];
  },
  findOwners: (uses: readonly string[]) => ReturnType<typeof ownersOf>,
): Promise<Consumed[]> {
  const { inserted, head, barred } = done;
  // All are new, so each attempt has its own use, and nothing is left to look up.
  if (inserted.length === asked.length) {
    return asked.map(() => ({ answer: { outcome: 'consumed' }, fresh: true, head }));
  }
  const fresh = new Map(inserted.map(({ use_id, attempt }) => [use_id, attempt]));
  const owners = await findOwners(asked.map(({ use_id }) => use_id));
  return asked.map(({ use_id, attempt, pep, token, audience }, at): Consumed => {
    const owner = owners.get(use_id);
    if (!owner) return barred[at] ?? { refused: wireError('INTERNAL') };
    const own =
      owner.attempt === attempt &&
      owner.pep === pep &&
      owner.jti === token.jti &&
      owner.audience === audience;
    if (!own) return { answer: { outcome: 'spent' }, fresh: false, head };
    // The same attempt twice in one batch is one consumption, so it is fresh once.
    const first = fresh.delete(use_id);
    return { answer: { outcome: 'consumed' }, fresh: first, head };
  });
}

/** Whether a token can be alive, as far as its end goes. */
export function livesNow(exp: number, now: number): boolean {
  return exp > now - CLOCK_SKEW_SECONDS && exp <= now + MAX_TOKEN_SECONDS + CLOCK_SKEW_SECONDS;
}
