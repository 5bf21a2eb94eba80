/** PostgreSQL classes 22 and 23: something about the data. Nothing was committed. */
const DATA_ERROR = /^2[23]/;

/** Whether one item of a batch can be why a transaction failed. */
export function isDataError(error: unknown): boolean {
  return DATA_ERROR.test(String((error as { code?: unknown }).code));
}

type Waiting<Item, Answer> = {
  item: Item;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
};

/**
 * Puts what is asked at the same time into one run per tenant, so that one commit serves many.
 * Nothing waits for company: the first starts a run at once, and what comes while it runs makes up
 * the next one, up to `maxItems`. Every item gets its own answer. When a run fails and `isApart` says
 * that one item can be the cause, each item is run by itself, so that a bad one fails alone.
 */
export function createBatches<Item, Answer>(options: {
  /** One answer for each item, in their order. */
  run: (tenant: string, items: readonly Item[]) => Promise<readonly Answer[]>;
  isApart: (error: unknown) => boolean;
  maxItems: number;
  /** How many went into a run. */
  onRun?: (items: number) => void;
}): (tenant: string, item: Item) => Promise<Answer> {
  const { run, isApart, maxItems, onRun } = options;
  const queues = new Map<string, Waiting<Item, Answer>[]>();

  async function settle(tenant: string, batch: readonly Waiting<Item, Answer>[]): Promise<void> {
    onRun?.(batch.length);
    try {
      const answers = await run(
        tenant,
        batch.map(({ item }) => item),
      );
      for (const [at, { resolve }] of batch.entries()) resolve(answers[at] as Answer);
    } catch (error) {
      if (batch.length === 1 || !isApart(error)) {
        for (const { reject } of batch) reject(error);
        return;
      }
      for (const one of batch) await settle(tenant, [one]);
    }
  }

  async function drain(tenant: string, queue: Waiting<Item, Answer>[]): Promise<void> {
    while (queue.length > 0) await settle(tenant, queue.splice(0, maxItems));
    queues.delete(tenant);
  }

  return (tenant, item) =>
    new Promise((resolve, reject) => {
      const waiting = { item, resolve, reject };
      const queue = queues.get(tenant);
      if (queue) {
        queue.push(waiting);
        return;
      }
      const started = [waiting];
      queues.set(tenant, started);
      void drain(tenant, started);
    });
}
