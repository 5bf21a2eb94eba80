import { tenantId } from '@remit/contracts';
import { Kysely, PostgresDialect, type PostgresPoolClient, sql, type Transaction } from 'kysely';
import pg from 'pg';
import { ServiceError } from '../errors.ts';
import type { Logger } from '../process/log.ts';
import { type AtOnceOptions, runAtOnce, type Statement } from './at-once.ts';

export type DatabaseOptions = {
  /** URL with the service's role, which owns nothing and has no DDL. */
  url: string;
  /** The service's schema; the whole search path. */
  schema: string;
  log: Logger;
  /** Connections at most; 10 by default. */
  max?: number;
  /** Milliseconds a statement may take on the server; 5000 by default. */
  statementTimeoutMs?: number;
  /** Accepts a server that may lose what it acknowledged. Tests only. */
  insecure?: boolean;
};

export type TransactionOptions = {
  /** `read committed` by default; `repeatable read` for a look at one snapshot. */
  isolation?: 'read committed' | 'repeatable read' | 'serializable';
  readOnly?: boolean;
};

export type Database<DB> = {
  /** Without a tenant: row-level security shows it no rows. For `select 1` and the like. */
  readonly db: Kysely<DB>;
  /** One transaction that sees and writes only this tenant's rows; row-level security holds it. */
  withTenant: <T>(
    tenant: string,
    fn: (trx: Transaction<DB>) => Promise<T>,
    options?: TransactionOptions,
  ) => Promise<T>;
  /**
   * One transaction like that of {@link withTenant}, `read committed`, of statements that don't need
   * each other's answers, in their order: one round trip instead of four and more. Resolves with the
   * results in their order once it is committed; when one fails, nothing was done.
   */
  atOnce: (
    tenant: string,
    statements: readonly Statement[],
    options?: AtOnceOptions,
  ) => Promise<pg.QueryResult[]>;
  /**
   * One transaction of the service's own upkeep over all tenants (outbox, expiry, leases). Reaches
   * only tables that were migrated with a `system` policy, for what that policy allows. Never from
   * a request.
   */
  withSystem: <T>(
    fn: (trx: Transaction<DB>) => Promise<T>,
    options?: TransactionOptions,
  ) => Promise<T>;
  /** Runs after the transaction committed; not at all when it did not. */
  afterCommit: (trx: Transaction<DB>, fn: () => void) => void;
  /** Throws when the database does not answer. */
  ping: () => Promise<void>;
  stats: () => { total: number; idle: number; waiting: number };
  close: () => Promise<void>;
};

const INT8 = 20;
const NUMERIC_SAFE = /^-?\d{1,16}$/;

/**
 * Opens a service's pool and checks that the server keeps what it acknowledges: `fsync`,
 * `full_page_writes` and `synchronous_commit` on, unless `insecure`. Statements, locks and idle
 * transactions have time limits. `int8` comes back as a number, or as an error when it is not exact.
 * Throws ServiceError `DATABASE_UNSAFE`, or what pg says when nobody answers.
 */
export async function createDatabase<DB>(options: DatabaseOptions): Promise<Database<DB>> {
  const { url, schema, log, max = 10, statementTimeoutMs = 5_000 } = options;
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 2_000,
    idleTimeoutMillis: 30_000,
    query_timeout: statementTimeoutMs + 1_000,
    keepAlive: true,
    application_name: schema,
    types: { getTypeParser: typeParser } as never,
    options: [
      `-c search_path=${schema}`,
      `-c statement_timeout=${statementTimeoutMs}`,
      '-c lock_timeout=2000',
      '-c idle_in_transaction_session_timeout=10000',
      '-c timezone=UTC',
    ].join(' '),
  });
  // The pool listens only while a connection is idle; one that breaks in use would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined));
  pool.on('error', (error) => log.warn({ err: error }, 'an idle database connection broke'));
  const db = new Kysely<DB>({ dialect: new PostgresDialect({ pool: discardBroken(pool) }) });
  const hooks = new WeakMap<Transaction<DB>, (() => void)[]>();

  async function run<T>(
    setting: { name: 'remit.tenant' | 'remit.system'; value: string },
    fn: (trx: Transaction<DB>) => Promise<T>,
    { isolation = 'read committed', readOnly = false }: TransactionOptions = {},
  ): Promise<T> {
    let after: (() => void)[] = [];
    const result = await db
      .transaction()
      .setIsolationLevel(isolation)
      .setAccessMode(readOnly ? 'read only' : 'read write')
      .execute(async (trx) => {
        await sql`select set_config(${setting.name}, ${setting.value}, true)`.execute(trx);
        after = [];
        hooks.set(trx, after);
        return fn(trx);
      });
    for (const hook of after) hook();
    return result;
  }

  async function atOnce(
    tenant: string,
    statements: readonly Statement[],
    transaction: AtOnceOptions = {},
  ): Promise<pg.QueryResult[]> {
    const checked = tenantId(tenant);
    const client = await pool.connect();
    try {
      const results = await runAtOnce(client, checked, statements, transaction);
      client.release();
      return results;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  const database: Database<DB> = {
    db,
    atOnce,
    withTenant: async (tenant, fn, transaction) =>
      run({ name: 'remit.tenant', value: tenantId(tenant) }, fn, transaction),
    withSystem: (fn, transaction) => run({ name: 'remit.system', value: 'on' }, fn, transaction),
    afterCommit: (trx, fn) => {
      const list = hooks.get(trx);
      if (!list) throw new Error('afterCommit needs the transaction of withTenant or withSystem');
      list.push(fn);
    },
    ping: async () => {
      await sql`select 1`.execute(db);
    },
    stats: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close: () => db.destroy(),
  };
  try {
    if (!options.insecure) await assertDurable(db);
  } catch (error) {
    await database.close();
    throw error;
  }
  return database;
}

/** PostgreSQL that was told to forget is refused: revocations and records rest on its commits. */
async function assertDurable<DB>(db: Kysely<DB>): Promise<void> {
  const { rows } = await sql<{ name: string; setting: string }>`
    select name, setting from pg_settings
    where name in ('fsync', 'full_page_writes', 'synchronous_commit')`.execute(db);
  const weak = rows.filter(({ name, setting }) =>
    name === 'synchronous_commit' ? setting === 'off' : setting !== 'on',
  );
  if (rows.length === 3 && weak.length === 0) return;
  throw new ServiceError(
    'DATABASE_UNSAFE',
    `PostgreSQL runs with ${weak.map(({ name, setting }) => `${name}=${setting}`).join(', ')} and may lose what it acknowledged. Turn it on, or set REMIT_INSECURE_DATABASE=true for tests.`,
    Object.fromEntries(weak.map(({ name, setting }) => [name, setting])),
  );
}

/**
 * A connection whose query timed out still runs it: the next user would wait behind it. pg-pool
 * keeps such a connection, so it is thrown away here.
 */
function discardBroken(pool: pg.Pool) {
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async (): Promise<PostgresPoolClient> => {
      const client = await pool.connect();
      let broken: Error | undefined;
      const query = async (...args: unknown[]): Promise<unknown> => {
        try {
          return await (client.query as (...a: unknown[]) => Promise<unknown>).apply(client, args);
        } catch (error) {
          if (
            error instanceof Error &&
            !('code' in error && /^[0-9A-Z]{5}$/.test(String(error.code)))
          ) {
            broken = error;
          }
          throw error;
        }
      };
      return { query, release: () => client.release(broken) } as unknown as PostgresPoolClient;
    },
  };
}

function typeParser(oid: number, format: 'binary' | 'text'): unknown {
  if (oid === INT8) return exactInteger;
  const parserOf = pg.types.getTypeParser as (oid: number, format: string) => unknown;
  return parserOf(oid, format);
}

function exactInteger(text: string): number {
  const value = Number(text);
  if (!NUMERIC_SAFE.test(text) || !Number.isSafeInteger(value)) {
    throw new RangeError('an integer from the database is not exact as a number');
  }
  return value;
}
