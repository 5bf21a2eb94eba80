import { beforeEach, describe, expect, it } from 'vitest';
import { createSourceWatch, type SourceWatch } from './source-watch.ts';

let nowMs = 0;
let watch: SourceWatch;
const beat = (over: Partial<{ boot: string; n: number; time: number; head: number }> = {}) =>
  watch.beat('registry', { boot: 'b1', n: 1, time: 1_000, head: 0, ...over });

beforeEach(() => {
  nowMs = 10_000;
  watch = createSourceWatch({ monotonicMs: () => nowMs });
});

describe('the watch over a source', () => {
  it('is late until the first beat, and again a second after the last', () => {
    expect(watch.late('registry')).toBe('the registry has not been heard for a second');
    expect(beat()).toBe(true);
    expect(watch.late('registry')).toBeNull();
    expect(watch.late('pdp')).toBe('the pdp has not been heard for a second');
    nowMs += 1_000;
    expect(watch.late('registry')).toBeNull();
    nowMs += 1;
    expect(watch.late('registry')).toBe('the registry has not been heard for a second');
  });

  it('is late when what a beat announced has not arrived for a second', () => {
    beat();
    for (let n = 2; n <= 12; n++) {
      nowMs += 100;
      beat({ n, time: 1_000 + n, head: 7 });
    }
    expect(watch.late('registry')).toBe('changes of the registry have not arrived for a second');
    watch.reached('registry', 6);
    expect(watch.late('registry')).not.toBeNull();
    watch.reached('registry', 7);
    expect(watch.late('registry')).toBeNull();
  });

  it('counts what arrived from the beat that announced it, not from its arrival', () => {
    beat({ head: 7 });
    nowMs += 900;
    beat({ n: 2, head: 8 });
    watch.reached('registry', 7);
    expect(watch.late('registry')).toBeNull();
    nowMs += 101;
    expect(watch.late('registry')).toBe('changes of the registry have not arrived for a second');
  });

  it('takes no beat twice, none of the past and none of an earlier boot', () => {
    expect(beat({ n: 5, time: 5_000 })).toBe(true);
    nowMs += 2_000;
    for (const old of [{ n: 5 }, { n: 4 }, { n: 6, time: 4_999 }, { boot: 'b0', time: 3_000 }]) {
      expect(beat({ time: 5_000, ...old })).toBe(false);
      expect(watch.late('registry')).not.toBeNull();
    }
    expect(beat({ boot: 'b2', n: 1, time: 5_100 })).toBe(true);
    expect(watch.late('registry')).toBeNull();
  });

  // Red when a head below the position counts as nothing new for ever.
  it('notices a source whose store was put back, and not a beat that was overtaken by its event', () => {
    beat({ head: 7 });
    watch.reached('registry', 7);
    beat({ n: 2, head: 6 });
    nowMs += 900;
    expect(watch.late('registry')).toBeNull();
    beat({ n: 3, head: 7 });
    for (let n = 4; n <= 60; n++) {
      nowMs += 100;
      beat({ n, time: 1_000 + n, head: 5 });
      if (n === 30) {
        expect(watch.late('registry')).toBe('the registry went back to an older store');
        expect(watch.wentBack('registry', 5_000)).toBeUndefined();
      }
    }
    expect(watch.wentBack('registry', 5_000)).toBe(5);
    watch.reached('registry', 5);
    expect(watch.wentBack('registry', 5_000)).toBeUndefined();
    beat({ n: 61, time: 2_000, head: 5 });
    expect(watch.late('registry')).toBeNull();
  });

  it('names what is lost only after nothing came for a while', () => {
    beat({ head: 7 });
    nowMs += 4_000;
    expect(watch.lost('registry', 5_000)).toBeUndefined();
    watch.reached('registry', 3);
    nowMs += 4_000;
    expect(watch.lost('registry', 5_000)).toBeUndefined();
    nowMs += 1_001;
    expect(watch.lost('registry', 5_000)).toBe(7);
    watch.reached('registry', 7);
    expect(watch.lost('registry', 5_000)).toBeUndefined();
  });
});
