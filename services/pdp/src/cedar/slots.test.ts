import { describe, expect, it } from 'vitest';
import { createSlotPool } from './slots.ts';

function pool(size: number) {
  const content = new Map<string, string>();
  const slots = createSlotPool<string>({
    prefix: 't',
    size,
    prepare: (slot, value) => {
      if (value === 'bad') return { ok: false, message: 'does not parse' };
      content.set(slot, value);
      return { ok: true, message: '' };
    },
  });
  return { slots, content, get: (key: string) => content.get(slots.slot(key, () => key)) };
}

describe('a pool of slots', () => {
  it('keeps to its ids, however many things go through it', () => {
    const { get, content, slots } = pool(3);
    for (let i = 0; i < 100; i++) expect(get(`k${i}`)).toBe(`k${i}`);
    expect([...content.keys()].toSorted()).toEqual(['t-0', 't-1', 't-2']);
    expect(slots.stats()).toEqual({ prepared: 100, hits: 0 });
  });

  it('gives up what was used longest ago', () => {
    const { get, slots } = pool(2);
    get('a');
    get('b');
    get('a');
    get('c');
    expect(slots.stats()).toEqual({ prepared: 3, hits: 1 });
    get('a');
    expect(slots.stats()).toEqual({ prepared: 3, hits: 2 });
    get('b');
    expect(slots.stats()).toEqual({ prepared: 4, hits: 2 });
  });

  // Cedar goes on with the old set under an id whose new set did not parse.
  it('never answers from a slot whose filling failed', () => {
    const { get, slots } = pool(1);
    expect(get('good')).toBe('good');
    for (const _again of [1, 2]) {
      expect(() => get('bad')).toThrow(
        expect.objectContaining({
          code: 'POLICY_ERROR',
          message: 'Cedar did not take what it was given',
        }),
      );
    }
    expect(get('good')).toBe('good');
    expect(slots.stats().prepared).toBe(2);
  });
});
