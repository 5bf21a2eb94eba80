import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createReplayMemory } from './replay.ts';

describe('the replay memory', () => {
  it('takes a proof once', () => {
    const memory = createReplayMemory({ windowSeconds: 10 });
    expect(memory.claim('a', 100)).toBe('fresh');
    expect(memory.claim('a', 100)).toBe('replayed');
    expect(memory.claim('b', 100)).toBe('fresh');
  });

  // Goes red when entries live one window only: a proof dated ahead of us is then taken twice.
  it('remembers a proof as long as it could be accepted again, whatever comes between', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 15 }), { maxLength: 40 }), (steps) => {
        const memory = createReplayMemory({ windowSeconds: 10 });
        let now = 1_000;
        const used = new Map<string, number>();
        for (const [index, step] of steps.entries()) {
          now += step;
          for (const [key, at] of used) {
            if (now - at < 20) expect(memory.claim(key, now)).toBe('replayed');
          }
          memory.claim(`p${index}`, now);
          used.set(`p${index}`, now);
        }
      }),
    );
  });

  it('forgets after four windows, so that it does not grow for ever', () => {
    const memory = createReplayMemory({ windowSeconds: 10 });
    for (let i = 0; i < 1_000; i++) memory.claim(`a${i}`, i);
    memory.claim('z', 10_000);
    expect(memory.size()).toBe(1);
  });

  it('refuses when it is full instead of forgetting', () => {
    const memory = createReplayMemory({ windowSeconds: 10, maxEntries: 2 });
    memory.claim('a', 0);
    memory.claim('b', 0);
    expect(memory.claim('c', 0)).toBe('full');
    expect(memory.claim('a', 1)).toBe('replayed');
    expect(memory.claim('c', 24)).toBe('full');
    expect(memory.claim('c', 25)).toBe('fresh');
  });

  // Goes red without the seconds for a clock that is set back: at 120.1 the proof of 100 is let go.
  it('remembers a proof over a clock that a later tie sets back by a round trip', () => {
    const memory = createReplayMemory({ windowSeconds: 10 });
    memory.claim('first', 80);
    memory.claim('a', 99.9);
    memory.claim('b', 100.1);
    memory.claim('c', 120.2);
    expect(memory.claim('a', 119.8)).toBe('replayed');
    expect(memory.claim('b', 119.8)).toBe('replayed');
  });

  it('keeps its entries when the clock steps back', () => {
    const memory = createReplayMemory({ windowSeconds: 10 });
    memory.claim('a', 100);
    expect(memory.claim('a', 50)).toBe('replayed');
  });
});
