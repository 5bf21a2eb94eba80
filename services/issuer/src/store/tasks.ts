import type { PermissionJson } from '@remit/contracts';
import type { Database } from '@remit/service-kit';
import type { IssuerTables } from './schema.ts';

/** A task as it was started. */
export type StoredTask = {
  readonly id: string;
  readonly type: string;
  readonly user: string;
  readonly originAgent: string;
  readonly jkt: string | undefined;
  readonly ceiling: readonly PermissionJson[];
  readonly purpose: string;
  readonly untilSeconds: number;
};

export type TaskStore = {
  /** Keeps a task before its first token leaves. */
  insert(tenant: string, task: StoredTask): Promise<void>;
  find(tenant: string, id: string): Promise<StoredTask | undefined>;
};

const INSERT = {
  name: 'insert_task',
  text: `insert into tasks (tenant, id, type, user_id, origin_agent, jkt, ceiling, purpose, until)
    values ($1, $2, $3, $4, $5, $6, $7, $8, to_timestamp($9))`,
} as const;

export function createTaskStore(database: Database<IssuerTables>): TaskStore {
  return {
    insert: async (tenant, task) => {
      const { id, type, user, originAgent, jkt, ceiling, purpose, untilSeconds } = task;
      const values = [
        ...[tenant, id, type, user, originAgent, jkt ?? null],
        ...[JSON.stringify(ceiling), purpose, untilSeconds],
      ];
      await database.atOnce(tenant, [{ ...INSERT, values }]);
    },
    find: (tenant, id) =>
      database.withTenant(tenant, async (trx) => {
        const row = await trx
          .selectFrom('tasks')
          .selectAll()
          .where('tenant', '=', tenant)
          .where('id', '=', id)
          .executeTakeFirst();
        return (
          row && {
            id: row.id,
            type: row.type,
            user: row.user_id,
            originAgent: row.origin_agent,
            jkt: row.jkt ?? undefined,
            ceiling: row.ceiling,
            purpose: row.purpose,
            untilSeconds: Math.floor(row.until.getTime() / 1000),
          }
        );
      }),
  };
}
