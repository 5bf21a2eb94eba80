import { describe, expect, it } from 'vitest';
import { readCredentials } from './presented.ts';

const request = { method: 'GET', url: 'https://erp.example/x', proof: undefined };
const read = (authorization: string | string[] | undefined, proof?: string | string[]) =>
  readCredentials({ ...request, authorization, proof });

describe('the credentials of a call', () => {
  it('are one token under DPoP or Bearer, whatever the case of the scheme', () => {
    expect(read('DPoP a.b.c', 'x.y.z')).toEqual({ scheme: 'DPoP', token: 'a.b.c', proof: 'x.y.z' });
    expect(read('bearer a.b.c')).toEqual({ scheme: 'Bearer', token: 'a.b.c', proof: undefined });
  });

  it('are missing when there is no header or another scheme', () => {
    for (const none of [undefined, '', 'Basic YTpi', 'DPoP', 'a.b.c']) {
      expect(read(none), String(none)).toEqual({ refused: 'token_missing' });
    }
  });

  it('are refused when a second token comes along in any way', () => {
    for (const two of [['DPoP a.b.c', 'DPoP d.e.f'], 'DPoP ']) {
      expect(read(two), String(two)).toEqual({ refused: 'token_malformed' });
    }
  });

  it('are refused when there is more than one proof', () => {
    for (const two of [['x', 'y'], 'x, y', 'x,y']) {
      expect(read('DPoP a.b.c', two)).toEqual({ refused: 'proof_invalid' });
    }
  });
});
