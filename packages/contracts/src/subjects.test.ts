import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContractError } from './error.ts';
import { decodeSubjectToken, encodeSubjectToken } from './ids.ts';
import { beatShard, parseAuditSubject, parseRpcSubject, subjects } from './subjects.ts';

describe('subjects', () => {
  it('are spelled as the bus contract says', () => {
    expect(subjects.rpc('pdp', 'mint', 'acme', 'issuer')).toBe('remit.rpc.pdp.mint.acme.issuer');
    expect(subjects.rpcServed('pdp')).toBe('remit.rpc.pdp.*.*.*');
    expect(subjects.reply('erp-1', 'pdp', 'i1', 'r1')).toBe('_R.erp-1.pdp.i1.r1');
    expect(subjects.revocation('acme')).toBe('remit.revocation.acme');
    expect(subjects.revocationBeat(17)).toBe('remit.beat.revocation.17');
    expect(subjects.registryBeat).toBe('remit.beat.registry');
    expect(subjects.policyBeat).toBe('remit.beat.pdp');
    expect(subjects.registry('acme', 'task-type')).toBe('remit.registry.acme.task-type');
    expect(subjects.policy('acme')).toBe('remit.policy.acme');
    expect(subjects.audit('acme', 'issuer', 'token.issued')).toBe(
      'remit.audit.acme.issuer.token_issued',
    );
    expect(subjects.auditMark('acme', 'erp-1')).toBe('remit.audit-mark.acme.erp-1');
    expect(subjects.checkpoint('acme')).toBe('remit.checkpoint.acme');
  });

  it('refuse a tenant that would reach another subject', () => {
    for (const tenant of ['', '*', '>', 'a.b', 'a b', 'A', 'acme\n', '-a', 'a'.repeat(32)]) {
      expect(() => subjects.revocation(tenant), tenant).toThrow(
        expect.objectContaining({ code: 'ID_INVALID', message: 'not a tenant id' }),
      );
    }
  });

  it('refuse a shard outside 0 to 63', () => {
    for (const shard of [-1, 64, 1.5, Number.NaN]) {
      expect(() => subjects.revocationBeat(shard)).toThrow(ContractError);
    }
  });

  it('give a tenant one shard, the first six bits of its hash', () => {
    expect(beatShard('acme')).toBe(32);
    expect(beatShard('globex')).toBe(22);
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,30}$/), (tenant) => {
        const shard = beatShard(tenant);
        expect(Number.isInteger(shard) && shard >= 0 && shard < 64).toBe(true);
      }),
    );
  });

  it('parse back to what they were built from', () => {
    expect(parseRpcSubject('remit.rpc.revocation.since.acme.erp-1')).toEqual({
      callee: 'revocation',
      method: 'since',
      tenant: 'acme',
      caller: 'erp-1',
    });
    expect(parseAuditSubject('remit.audit.acme.registry.admin_registry_loaded')).toEqual({
      tenant: 'acme',
      producer: 'registry',
      event: 'admin.registry_loaded',
    });
    for (const bad of [
      'remit.rpc.pdp.mint.acme',
      'remit.rpc.pdp.mint.acme.issuer.x',
      'x.rpc.a.b.c.d',
      '',
    ]) {
      expect(() => parseRpcSubject(bad)).toThrow(
        expect.objectContaining({ code: 'SUBJECT_INVALID' }),
      );
    }
  });
});

describe('the codec of ids in subjects', () => {
  it('brings every well-formed id back and stays inside its alphabet', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }), (id) => {
        fc.pre(Buffer.byteLength(id) <= 80);
        const token = encodeSubjectToken(id);
        expect(token).toMatch(/^[a-z0-9_-]+$/);
        expect(decodeSubjectToken(token)).toBe(id);
      }),
    );
  });

  it('keeps ids apart that differ only in case, dots or wildcards', () => {
    const ids = ['a.b', 'a_b', 'a-b', 'A.b', 'a*', 'a>', 'a ', 'a', '_2e', '.', 'ä', 'a\u0308'];
    expect(new Set(ids.map(encodeSubjectToken)).size).toBe(ids.length);
  });

  it('refuses what it cannot have produced', () => {
    for (const token of ['', '_', '_2', '_2E', 'A', 'a.b', '_61', '_ff', '*', '>']) {
      expect(() => decodeSubjectToken(token), token).toThrow(
        expect.objectContaining({ code: 'ID_INVALID' }),
      );
    }
  });

  it('refuses an empty, an ill-formed and an endless id', () => {
    for (const id of ['', '\ud800', 'x'.repeat(300)]) {
      expect(() => encodeSubjectToken(id)).toThrow(expect.objectContaining({ code: 'ID_INVALID' }));
    }
  });
});
