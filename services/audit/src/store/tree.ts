import { decodeEdge, type Edge, emptyEdge, type HashReader } from '@remit/ledger';
import { sql, type Transaction } from 'kysely';
import type { AuditTables } from './tables.ts';

type Trx = Transaction<AuditTables>;

/** Reads the hashes of a tenant's tree: leaves beside their records, larger subtrees from their table. */
export function hashReader(trx: Trx, tenant: string): HashReader {
  return async (level, start, count) => {
    if (level === 0) {
      // Leaves count from 0, sequences from 1. Of what retention let go the hash is in `leaves`.
      const { rows } = await sql<{ hash: Buffer }>`
        select leaf_hash as hash from (
          select seq, leaf_hash from records
          where tenant = ${tenant} and seq > ${start} and seq <= ${start + count}
          union all
          select seq, leaf_hash from leaves
          where tenant = ${tenant} and seq > ${start} and seq <= ${start + count}
        ) as both_homes
        order by seq`.execute(trx);
      return rows.map(({ hash }) => hash);
    }
    const rows = await trx
      .selectFrom('tree_nodes')
      .select('hash')
      .where('tenant', '=', tenant)
      .where('level', '=', level)
      .where('idx', '>=', start)
      .where('idx', '<', start + count)
      .orderBy('idx')
      .execute();
    return rows.map(({ hash }) => hash);
  };
}

/** The right edge of a tenant's tree, as the newest append left it. */
export async function readEdge(trx: Trx, tenant: string): Promise<Edge> {
  const head = await trx
    .selectFrom('heads')
    .select('edge')
    .where('tenant', '=', tenant)
    .executeTakeFirst();
  return head ? decodeEdge(head.edge) : emptyEdge;
}
