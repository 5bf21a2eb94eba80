/** An entry of the table: the sequence that revoked the id, when it may go, a small mark. */
export type IdEntry = { seq: number; ends: number; mark: number };

/** An `ends` that never comes. */
export const NEVER = 0xffff_ffff;

/** Revoked ids. Most are 128 random bits, which take 29 bytes a slot; any other id goes to a Map. */
export type IdTable = {
  /** Keeps the lowest sequence, with its mark, and the latest end of an id. `ends` in epoch seconds, or NEVER. */
  add(id: string, entry: IdEntry): void;
  has(id: string): boolean;
  get(id: string): IdEntry | undefined;
  /** Drops what ended before `seconds`. */
  sweep(seconds: number): void;
  size(): number;
};

const FIRST_SLOTS = 64;
const MAX_LOAD = 0.8;
const ID_CHARS = 22;

const DIGITS = new Int8Array(128).fill(-1);
for (const [value, char] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_',
].entries()) {
  DIGITS[char.charCodeAt(0)] = value;
}

type Slots = {
  keys: Uint32Array;
  /** 0 marks a free slot: sequences start at 1. */
  seqs: Float64Array;
  ends: Uint32Array;
  marks: Uint8Array;
};

const allocate = (slots: number): Slots => ({
  keys: new Uint32Array(slots * 4),
  seqs: new Float64Array(slots),
  ends: new Uint32Array(slots),
  marks: new Uint8Array(slots),
});

/**
 * A table of ids of the form `<prefix>` and 22 characters base64url. `seed` keeps somebody who
 * chooses ids from choosing where they fall.
 */
export function createIdTable(prefix: string, seed: number): IdTable {
  let slots = allocate(FIRST_SLOTS);
  let used = 0;
  const others = new Map<string, IdEntry>();
  const key = new Uint32Array(4);

  /** The slot of `key`, or the free one where it would go, negated and minus one. */
  const locate = (into: Slots): number => {
    const mask = into.seqs.length - 1;
    let slot = hash(key, seed) & mask;
    while (into.seqs[slot] !== 0) {
      const at = slot * 4;
      if (
        into.keys[at] === key[0] &&
        into.keys[at + 1] === key[1] &&
        into.keys[at + 2] === key[2] &&
        into.keys[at + 3] === key[3]
      ) {
        return slot;
      }
      slot = (slot + 1) & mask;
    }
    return -slot - 1;
  };

  const place = (into: Slots, slot: number, seq: number, ends: number, mark: number): void => {
    into.keys.set(key, slot * 4);
    into.seqs[slot] = seq;
    into.ends[slot] = ends;
    into.marks[slot] = mark;
  };

  const rebuild = (count: number, keepFrom: number): void => {
    const old = slots;
    slots = allocate(count);
    used = 0;
    for (let from = 0; from < old.seqs.length; from++) {
      const seq = old.seqs[from] as number;
      const ends = old.ends[from] as number;
      if (seq === 0 || ends < keepFrom) continue;
      key.set(old.keys.subarray(from * 4, from * 4 + 4));
      place(slots, -locate(slots) - 1, seq, ends, old.marks[from] as number);
      used++;
    }
  };

  return {
    add: (id, entry) => {
      if (!readId(id, prefix, key)) {
        others.set(id, merge(others.get(id), entry));
        return;
      }
      const slot = locate(slots);
      if (slot >= 0) {
        if (entry.seq < (slots.seqs[slot] as number)) {
          slots.seqs[slot] = entry.seq;
          slots.marks[slot] = entry.mark;
        }
        slots.ends[slot] = Math.max(slots.ends[slot] as number, entry.ends);
        return;
      }
      place(slots, -slot - 1, entry.seq, entry.ends, entry.mark);
      used++;
      if (used > slots.seqs.length * MAX_LOAD) rebuild(slots.seqs.length * 2, 0);
    },
    has: (id) => (readId(id, prefix, key) ? locate(slots) >= 0 : others.size > 0 && others.has(id)),
    get: (id) => {
      if (!readId(id, prefix, key)) return others.get(id);
      const slot = locate(slots);
      if (slot < 0) return undefined;
      return {
        seq: slots.seqs[slot] as number,
        ends: slots.ends[slot] as number,
        mark: slots.marks[slot] as number,
      };
    },
    sweep: (seconds) => {
      for (const [id, entry] of others) if (entry.ends < seconds) others.delete(id);
      let kept = 0;
      for (let slot = 0; slot < slots.seqs.length; slot++) {
        if (slots.seqs[slot] !== 0 && (slots.ends[slot] as number) >= seconds) kept++;
      }
      if (kept === used) return;
      let count = FIRST_SLOTS;
      while (kept > count * MAX_LOAD) count *= 2;
      rebuild(count, seconds);
    },
    size: () => used + others.size,
  };
}

function merge(known: IdEntry | undefined, entry: IdEntry): IdEntry {
  if (!known) return { ...entry };
  const first = entry.seq < known.seq ? entry : known;
  return { ...first, ends: Math.max(known.ends, entry.ends) };
}

/** Reads an id's 128 bits into `key`. False for any other text, so that two ids never share a key. */
function readId(id: string, prefix: string, key: Uint32Array): boolean {
  if (id.length !== prefix.length + ID_CHARS || !id.startsWith(prefix)) return false;
  let word = 0;
  let bits = 0;
  let at = 0;
  for (let i = prefix.length; i < id.length; i++) {
    const code = id.charCodeAt(i);
    const digit = code < 128 ? (DIGITS[code] as number) : -1;
    if (digit < 0) return false;
    const room = 32 - bits;
    if (room > 6) {
      word = (word << 6) | digit;
      bits += 6;
      continue;
    }
    key[at++] = (room === 6 ? word << 6 : word << room) | (digit >> (6 - room));
    bits = 6 - room;
    word = digit & ((1 << bits) - 1);
  }
  return word === 0;
}

function hash(key: Uint32Array, seed: number): number {
  let mixed = seed;
  for (let i = 0; i < 4; i++) {
    mixed ^= key[i] as number;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
    mixed ^= mixed >>> 16;
  }
  return mixed >>> 0;
}
