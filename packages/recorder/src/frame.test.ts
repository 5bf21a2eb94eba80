import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, type Frame, readFrames, readPayload } from './frame.ts';

const frame = fc.record({
  tenant: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,30}$/),
  n: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  event: fc.constantFrom('decision', 'token.issued', 'admin.registry_loaded'),
  trust: fc.constantFrom('verified' as const, 'stranger' as const),
  id: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
  payload: fc.json().map((text) => JSON.stringify({ text })),
});

const fileOf = (frames: readonly Frame[]): Buffer => Buffer.concat(frames.map(encodeFrame));
const withoutPayload = ({ payload: _payload, ...rest }: Frame): Omit<Frame, 'payload'> => rest;

describe('the frames of a spool', () => {
  it('come back as they were written', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), (frames) => {
        const file = fileOf(frames);
        const read = readFrames(file);
        expect(read.goodBytes).toBe(file.length);
        expect(read.corrupt).toBe(0);
        expect(read.frames.map(({ offset: _offset, length: _length, ...rest }) => rest)).toEqual(
          frames.map(withoutPayload),
        );
        for (const [i, { offset, length }] of read.frames.entries()) {
          expect(readPayload(file.subarray(offset, offset + length))).toBe(frames[i]?.payload);
        }
      }),
    );
  });

  it('are cut after the last whole one wherever a crash tore the file', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 5 }), fc.nat(), (frames, at) => {
        const file = fileOf(frames);
        const torn = file.subarray(0, at % file.length);
        let whole = 0;
        let goodBytes = 0;
        for (const one of frames) {
          const length = encodeFrame(one).length;
          if (goodBytes + length > torn.length) break;
          goodBytes += length;
          whole++;
        }
        const read = readFrames(torn);
        expect(read.frames.length).toBe(whole);
        expect(read.goodBytes).toBe(goodBytes);
        expect(read.corrupt).toBe(0);
      }),
    );
  });

  // Red when readLine() no longer compares the checksum.
  it('are not believed when one bit of them differs', () => {
    fc.assert(
      fc.property(frame, frame, fc.nat(), fc.integer({ min: 0, max: 7 }), (one, two, at, bit) => {
        const first = encodeFrame(one);
        const damaged = Buffer.concat([first, encodeFrame(two)]);
        const place = at % (first.length - 1);
        damaged[place] = (damaged[place] as number) ^ (1 << bit);
        fc.pre(damaged[place] !== 0x0a);
        const read = readFrames(damaged);
        expect(read.frames.map(({ id, n }) => [id, n])).toEqual([[two.id, two.n]]);
        expect(read.corrupt).toBe(1);
        expect(readPayload(damaged.subarray(0, first.length))).toBeUndefined();
      }),
    );
  });
});
