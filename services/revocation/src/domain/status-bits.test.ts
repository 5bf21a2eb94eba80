import { deflateSync } from 'node:zlib';
import { StatusList } from '@sd-jwt/jwt-status-list';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { setBit, statusListClaim } from './status-bits.ts';

const decode = (lst: string): number[] => StatusList.decompressStatusList(lst, 1).statusList;

describe('the bits of a status list', () => {
  it('are those of the draft: sixteen statuses, 0xB9 0xA3', () => {
    const bits = new Uint8Array(2);
    for (const [index, status] of [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1].entries()) {
      if (status === 1) setBit(bits, index);
    }
    expect([...bits]).toEqual([0xb9, 0xa3]);
    expect(statusListClaim(bits)).toEqual({ bits: 1, lst: 'eNrbuRgAAhcBXQ' });
    expect(decode('eNrbuRgAAhcBXQ')).toEqual([1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
  });

  it('are those of the long vector of the draft: 2^20 statuses, eleven set', () => {
    const set = [
      0, 1993, 25_460, 159_495, 495_669, 554_353, 645_645, 723_232, 854_545, 934_534, 1_000_345,
    ];
    const bits = new Uint8Array(2 ** 20 / 8);
    for (const index of set) setBit(bits, index);
    const { lst } = statusListClaim(bits);
    const decoded = decode(lst);
    expect(decoded).toHaveLength(2 ** 20);
    expect(decoded.flatMap((status, index) => (status === 1 ? [index] : []))).toEqual(set);
    // zlib with its header and check sum, not raw DEFLATE and not gzip.
    expect(Buffer.from(lst, 'base64url').subarray(0, 2)).toEqual(Buffer.from([0x78, 0xda]));
    expect(lst).toBe(deflateSync(bits, { level: 9 }).toString('base64url'));
  });

  it('come back from an independent decoder, whatever is set', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(511), { maxLength: 200 }), (indices) => {
        const bits = new Uint8Array(64);
        for (const index of indices) setBit(bits, index);
        const decoded = decode(statusListClaim(bits).lst);
        for (let index = 0; index < 512; index++) {
          expect(decoded[index]).toBe(indices.includes(index) ? 1 : 0);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('are never set outside of the list', () => {
    const bits = new Uint8Array(2);
    for (const index of [-1, 16, 1.5, Number.NaN]) {
      expect(() => setBit(bits, index)).toThrow('a status index is outside its list');
    }
    expect([...bits]).toEqual([0, 0]);
  });
});
