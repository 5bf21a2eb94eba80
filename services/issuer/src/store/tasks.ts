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

export function createTaskStore(database: Database<IssuerTables>): TaskStore {
  return {
    insert: (tenant, task) =>
      database.withTenant(tenant, async (trx) => {
        await trx
          .insertInto('tasks')
          .values({
            tenant,
            id: task.id,
            type: task.type,
            user_id: task.user,
            origin_agent: task.originAgent,
            jkt: task.jkt ?? null,
            ceiling: JSON.stringify(task.ceiling),
            purpose: task.purpose,
            until: new Date(task.untilSeconds * 1000),
          })
          .execute();
      }),
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
