import { decodeEdge, type Edge, emptyEdge, type HashReader } from '@remit/ledger';
import type { Transaction } from 'kysely';
import type { AuditTables } from './tables.ts';

type Trx = Transaction<AuditTables>;

/** Reads the hashes of a tenant's tree: leaves beside their records, larger subtrees from their table. */
export function hashReader(trx: Trx, tenant: string): HashReader {
  return async (level, start, count) => {
    if (level === 0) {
      const rows = await trx
        .selectFrom('records')
        .select('leaf_hash as hash')
        .where('tenant', '=', tenant)
        // Leaves count from 0, sequences from 1.
        .where('seq', '>', start)
        .where('seq', '<=', start + count)
        .orderBy('seq')
        .execute();
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
