import { PdpError } from '../errors.ts';

/** How a pool fills a slot: Cedar's preparse, by the slot's name. */
export type Prepare<T> = (slot: string, value: T) => { ok: boolean; message: string };

export type SlotPool<T> = {
  /** The slot that holds what `key` names; prepared now if no slot holds it. */
  slot(key: string, value: () => T): string;
  /** Slots filled since the start, and how often one was found filled. */
  stats(): { prepared: number; hits: number };
};

/**
 * A fixed pool of ids for what Cedar keeps parsed, least recently used first out. Cedar's wasm never
 * forgets an id, so ids are never made per version, tenant or principal.
 * A failed prepare leaves Cedar with the old content under that id; so the slot is emptied before it
 * is filled, and stays unusable until a later prepare succeeds.
 * Throws PdpError `POLICY_ERROR` when the content does not parse.
 */
export function createSlotPool<T>(options: {
  prefix: string;
  size: number;
  prepare: Prepare<T>;
}): SlotPool<T> {
  const empty = Array.from({ length: options.size }, (_, i) => `${options.prefix}-${i}`);
  // Insertion order is age: a hit is taken out and put in again.
  const filled = new Map<string, string>();
  let prepared = 0;
  let hits = 0;

  const take = (): string => {
    const free = empty.pop();
    if (free !== undefined) return free;
    const [oldestKey, oldest] = filled.entries().next().value as [string, string];
    filled.delete(oldestKey);
    return oldest;
  };

  return {
    slot(key, value) {
      const known = filled.get(key);
      if (known !== undefined) {
        filled.delete(key);
        filled.set(key, known);
        hits += 1;
        return known;
      }
      const name = take();
      const answer = options.prepare(name, value());
      if (!answer.ok) {
        empty.push(name);
        throw new PdpError('POLICY_ERROR', 'Cedar did not take what it was given', {
          cause: answer.message,
        });
      }
      filled.set(key, name);
      prepared += 1;
      return name;
    },
    stats: () => ({ prepared, hits }),
  };
}
