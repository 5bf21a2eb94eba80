import { type Import, room } from './imports.ts';

const SERVICE_KIT = [
  'contracts',
  'capability',
  'revocation-view',
  'ledger',
  'bus',
  'recorder',
  'service-kit',
];

/** Which packages of ours each room may import. `demo` and `test` may import anything. */
export const ALLOWED: Record<string, readonly string[]> = {
  'packages/contracts': [],
  'packages/capability': ['contracts'],
  'packages/revocation-view': ['contracts'],
  'packages/ledger': ['contracts'],
  'packages/bus': ['contracts'],
  'packages/recorder': ['contracts', 'bus'],
  'packages/service-kit': ['contracts', 'bus', 'recorder'],
  'packages/pep': ['contracts', 'capability', 'revocation-view', 'bus', 'recorder'],
  'packages/agent': ['contracts', 'capability'],
  'packages/stack': ['contracts'],
  'packages/testkit': ['stack', 'contracts', 'capability', 'ledger'],
  'packages/cli': ['contracts', 'capability', 'ledger', 'bus', 'agent'],
  'services/audit': SERVICE_KIT,
  'services/issuer': SERVICE_KIT,
  'services/pdp': SERVICE_KIT,
  'services/registry': SERVICE_KIT,
  'services/revocation': SERVICE_KIT,
  infra: ['contracts'],
};

const PURE = [
  'packages/contracts',
  'packages/capability',
  'packages/revocation-view',
  'packages/ledger',
];
const IMPURE_BUILTIN =
  /^node:(net|fs|http|https|http2|dgram|tls|child_process|worker_threads|fs\/promises)$/;
/** Tests, and what only tests use: `src/test/`, `test-support/`, `*.testing.ts`. */
const isTest = (file: string) => /\.test(ing)?\.ts$|\/test(-support)?\//.test(file);

/** What is wrong with an import, in one sentence; `undefined` when nothing is. */
export function violation({ from, to }: Import): string | undefined {
  const here = room(from);
  if (here === 'demo' || here === 'test') return undefined;
  const allowed = ALLOWED[here];
  if (!allowed) return `${here} is no room that the table knows`;

  if (to.startsWith('@nats-io/')) {
    const keysOnly =
      to === '@nats-io/nkeys' && ['infra', 'packages/stack', 'packages/testkit'].includes(here);
    // A given nats-server is asked to reload on its system account, which is nobody's of ours.
    const givenServer = /^packages\/testkit\/src\/given-bus(\.test)?\.ts$/.test(from);
    if (here !== 'packages/bus' && !keysOnly && !givenServer)
      return 'only packages/bus imports the NATS client';
  }
  if (to.startsWith('@cedar-policy/') && here !== 'services/pdp')
    return 'only services/pdp evaluates Cedar';
  if (PURE.includes(here) && !isTest(from) && IMPURE_BUILTIN.test(to)) return `${here} is pure`;
  if (here === 'packages/capability' && from.includes('/scope/') && !isTest(from)) {
    if (!to.startsWith('packages/capability/src/scope/'))
      return 'the algebra has no dependency at all';
  }

  if (to.startsWith('@remit/')) {
    const name = to.split('/')[1] as string;
    if (allowed.includes(name)) return undefined;
    if (isTest(from) && name === 'testkit') return undefined;
    return `${here} may not import @remit/${name}`;
  }
  if (/^(packages|services|demo|infra|test)\//.test(to) && room(to) !== here) {
    return `${here} reaches into ${room(to)} by path`;
  }
  return undefined;
}
