import pg from 'pg';

/** A statement of fixed text, which a connection prepares once under its name. */
export type Statement = {
  /** One name, one text: unique in the service. */
  readonly name: string;
  readonly text: string;
  readonly values: readonly unknown[];
};

export type AtOnceOptions = {
  /** Refuses every write. Default false. */
  readOnly?: boolean;
};

/** What pg's own queries have beyond their types, and what its clients call of a query. */
type Part = {
  name: string;
  text: string;
  callback: (error: Error | null, result: pg.QueryResult) => void;
  submit(connection: Wire): Error | null;
  handleRowDescription(message: unknown): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: Wire): void;
  handleReadyForQuery(connection: Wire): void;
};
type Wire = pg.Connection & {
  stream: { cork(): void; uncork(): void };
  sync(): void;
};

/**
 * Sends a tenant and then statements, of which none needs another's answer, in one go with one Sync at
 * their end, and resolves with their results. To PostgreSQL that is one transaction (protocol,
 * Pipelining: up to the Sync it is implicit), in the statements' order, each with a snapshot of its
 * own (`read committed`); the tenant ends with it. When one fails, those behind it are not run, nothing
 * is kept, and the connection should be thrown away: it is unsure what it has prepared.
 */
export function runAtOnce(
  client: pg.PoolClient,
  tenant: string,
  statements: readonly Statement[],
  { readOnly = false }: AtOnceOptions,
): Promise<pg.QueryResult[]> {
  const setting = readOnly ? READ_ONLY_TENANT : TENANT;
  const parts = [{ ...setting, values: [tenant] }, ...statements].map(
    // The client gives its parsers only to queries that it makes itself.
    (one) => new pg.Query({ ...one, values: [...one.values], types: client } as never),
  ) as unknown as [Part, ...Part[]];
  return new Promise((resolve, reject) => {
    const results: pg.QueryResult[] = [];
    for (const part of parts) {
      part.callback = (error, result) => (error ? reject(error) : void results.push(result));
    }
    client.query(
      together(parts, (error) => (error ? reject(error) : resolve(results.slice(1)))) as never,
    );
  });
}

const TENANT = { name: 'tenant', text: "select set_config('remit.tenant', $1, true)" } as const;
const READ_ONLY_TENANT = {
  name: 'read_only_tenant',
  text: "select set_config('remit.tenant', $1, true), set_config('transaction_read_only', 'on', true)",
} as const;

/** Several of pg's queries as one: their messages in one write, one Sync, answers to each in turn. */
function together(parts: readonly [Part, ...Part[]], done: (error?: Error) => void) {
  let at = 0;
  const current = (): Part => parts[at] ?? parts[0];
  return {
    // By these the client knows what a connection has prepared.
    get name() {
      return current().name;
    },
    get text() {
      return current().text;
    },
    /** The client puts one of its own around this, which ends its timer. */
    callback: done,
    submit(connection: Wire): Error | null {
      const unsynced = Object.create(connection, { sync: { value: () => {} } }) as Wire;
      connection.stream.cork();
      try {
        for (const part of parts) {
          const refused = part.submit(unsynced);
          if (refused) throw refused;
        }
        connection.sync();
      } finally {
        connection.stream.uncork();
      }
      return null;
    },
    handleRowDescription: (message: unknown) => current().handleRowDescription(message),
    handleDataRow: (message: unknown) => current().handleDataRow(message),
    handleCommandComplete(message: unknown, connection: Wire) {
      current().handleCommandComplete(message, connection);
      at++;
    },
    handleReadyForQuery(connection: Wire) {
      // Each says now whether its rows could be read.
      for (const part of parts) part.handleReadyForQuery(connection);
      this.callback();
    },
    handleError(error: Error) {
      this.callback(error);
    },
  };
}
