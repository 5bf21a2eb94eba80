import { describe, expect, test } from 'vitest';
import { natsConfig } from './config.ts';

type User = {
  nkey: string;
  permissions?: { publish: { allow: string[] }; subscribe: { allow: string[] } };
};
type Account = { users: User[]; imports?: unknown[]; exports?: Record<string, unknown>[] };

const members = {
  tenants: [
    { tenant: 'acme', peps: ['erp-1', 'erp-2'] },
    { tenant: 'globex', peps: ['erp-1'] },
  ],
  siems: ['siem'],
};
const configOf = (of = members) =>
  natsConfig(of, ({ account, user }) => `U-${account}-${user}`) as {
    accounts: Record<string, Account>;
  };

describe('the configuration of the bus', () => {
  test('gives the services, each PEP and each SIEM an account of its own', () => {
    expect(Object.keys(configOf().accounts).toSorted()).toEqual([
      'PEP_acme_erp-1',
      'PEP_acme_erp-2',
      'PEP_globex_erp-1',
      'REMIT',
      'SIEM_siem',
      'SYS',
    ]);
    expect(configOf().accounts['REMIT']?.users.map((user) => user.nkey)).toEqual([
      'U-REMIT-audit',
      'U-REMIT-issuer',
      'U-REMIT-pdp',
      'U-REMIT-registry',
      'U-REMIT-revocation',
      'U-REMIT-operator',
    ]);
  });

  test('allows by lists alone: nothing denied, answered by right, or let in without a key', () => {
    const text = JSON.stringify(configOf());
    for (const word of ['deny', 'allow_responses', 'no_auth_user', 'password', 'token']) {
      expect(text).not.toContain(`"${word}"`);
    }
    for (const { users } of Object.values(configOf().accounts)) {
      for (const { permissions } of users.filter((user) => !user.nkey.startsWith('U-SYS'))) {
        const allowed = [
          ...(permissions?.publish.allow ?? []),
          ...(permissions?.subscribe.allow ?? []),
        ];
        expect(allowed.length).toBeGreaterThan(0);
        expect(allowed).not.toContain('>');
      }
    }
  });

  test('gives a PEP exactly this', () => {
    const account = configOf().accounts['PEP_acme_erp-1'];
    expect(account?.users[0]?.permissions).toEqual({
      publish: {
        allow: [
          'remit.audit.acme.erp-1.*',
          'remit.rpc.pdp.evaluate.acme.erp-1',
          'remit.rpc.pdp.filter.acme.erp-1',
          'remit.rpc.revocation.claim.acme.erp-1',
          'remit.rpc.revocation.consume.acme.erp-1',
          'remit.rpc.revocation.reserve.acme.erp-1',
          'remit.rpc.revocation.commit.acme.erp-1',
          'remit.rpc.revocation.release.acme.erp-1',
          'remit.rpc.revocation.head.acme.erp-1',
          'remit.rpc.revocation.since.acme.erp-1',
          'remit.rpc.revocation.snapshot.acme.erp-1',
        ],
      },
      subscribe: {
        allow: [
          '_INBOX_erp-1.>',
          '_R.erp-1.>',
          'remit.revocation.acme',
          'remit.beat.revocation.32',
          'remit.audit-mark.acme.erp-1',
        ],
      },
    });
  });

  test('opens each subject of the services only to the accounts that need it', () => {
    const exports = configOf().accounts['REMIT']?.exports ?? [];
    expect(exports.every((each) => Array.isArray(each['accounts']))).toBe(true);
    expect(exports.find((each) => each['stream'] === 'remit.revocation.acme')).toEqual({
      stream: 'remit.revocation.acme',
      accounts: ['PEP_acme_erp-1', 'PEP_acme_erp-2'],
    });
    expect(
      exports.find((each) => each['service'] === 'remit.rpc.revocation.head.globex.erp-1'),
    ).toEqual({
      service: 'remit.rpc.revocation.head.globex.erp-1',
      accounts: ['PEP_globex_erp-1'],
    });
  });

  test.each([
    ['a PEP named like a service', { tenants: [{ tenant: 'acme', peps: ['issuer'] }], siems: [] }],
    ['a PEP named like a SIEM', { tenants: [{ tenant: 'acme', peps: ['siem'] }], siems: ['siem'] }],
    ['a PEP named twice', { tenants: [{ tenant: 'acme', peps: ['a', 'a'] }], siems: [] }],
    ['a SIEM named like the ledger', { tenants: [], siems: ['audit'] }],
  ])('refuses %s', (_what, of) => {
    expect(() => configOf(of)).toThrow(/^the name \S+ is taken$/);
  });

  test.each(['Acme', 'a.b', 'a*', '>', '', 'a b', '-a'])('refuses %j as a tenant', (tenant) => {
    expect(() => configOf({ tenants: [{ tenant, peps: ['erp-1'] }], siems: [] })).toThrow(
      'not a tenant id',
    );
  });

  test('gives an auditor the checkpoints alone, in an account with a stream of its own', () => {
    const { accounts } = configOf({ ...members, auditors: ['ernst'] } as never);
    const account = accounts['AUDITOR_ernst'];
    expect(account).toMatchObject({
      jetstream: 'enabled',
      imports: [{ stream: { account: 'REMIT', subject: 'remit.checkpoint.*' } }],
    });
    expect(account?.users[0]?.permissions?.subscribe.allow).toEqual([
      '_INBOX_ernst.>',
      'remit.checkpoint.*',
    ]);
    // Nothing of ours: every right is about its own stream.
    for (const subject of account?.users[0]?.permissions?.publish.allow ?? []) {
      expect(subject).toContain('.CHECKPOINTS');
    }
    expect(accounts['REMIT']?.exports).toContainEqual({
      stream: 'remit.checkpoint.*',
      accounts: ['AUDITOR_ernst'],
    });
    expect(() => configOf({ ...members, auditors: ['siem'] } as never)).toThrow(RangeError);
  });
});
