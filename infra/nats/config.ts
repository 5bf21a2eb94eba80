import { ANY, nodeName, patterns, SERVICES, tenantId } from '@remit/contracts';
import {
  auditorRights,
  OPERATOR,
  operatorRights,
  pepRights,
  pepServices,
  pepStreams,
  type Rights,
  serviceRights,
  siemServices,
} from './permissions.ts';

/** Whom the bus serves: every PEP by tenant, every SIEM by name. */
export type BusMembers = {
  tenants: readonly { tenant: string; peps: readonly string[] }[];
  siems: readonly string[];
  /** Who keeps checkpoints in an account, and a stream, of their own. Default: nobody. */
  auditors?: readonly string[];
};

/** Gives the public nkey of a user; makes one where there is none. */
export type PublicNkey = (user: UserRef) => string;
export type UserRef = { account: string; user: string };

const SERVICES_ACCOUNT = 'REMIT';
const SYSTEM_ACCOUNT = 'SYS';

/**
 * The configuration of nats-server, as the JSON that it reads: an account for the services, one for
 * each PEP, one for each SIEM, and between them only the imports and exports that `contracts` imply.
 * Holds public keys only. Addresses, ports and the store are given on the server's command line.
 *
 * A PEP has an account to itself, because a message's `reply` is delivered inside the sender's account
 * without asking for permissions: in a shared one a PEP could let the server's acknowledgement of a
 * record land on any subject that its neighbours listen to.
 *
 * Throws ContractError `ID_INVALID` for a name that is none, and RangeError for a name used twice.
 */
export function natsConfig(members: BusMembers, nkey: PublicNkey): Record<string, unknown> {
  const { tenants, siems, auditors = [] } = checked(members);
  const account = (name: string) => (user: string, rights: Rights) => ({
    nkey: nkey({ account: name, user }),
    permissions: {
      publish: { allow: rights.publish },
      subscribe: { allow: rights.subscribe },
    },
  });
  const peps = tenants.flatMap(({ tenant, peps: names }) =>
    names.map((pep) => ({ tenant, pep, account: pepAccount(tenant, pep) })),
  );
  const inServices = account(SERVICES_ACCOUNT);
  const exported = (kind: 'stream' | 'service', subjectsOf: (t: string, p: string) => string[]) =>
    peps.flatMap((each) =>
      subjectsOf(each.tenant, each.pep).map((subject) => ({
        subject,
        account: each.account,
        kind,
      })),
    );

  const accounts: Record<string, unknown> = {
    [SERVICES_ACCOUNT]: {
      jetstream: 'enabled',
      users: [
        ...SERVICES.map((service) => inServices(service, serviceRights(service, siems))),
        inServices(OPERATOR, operatorRights()),
      ],
      exports: [
        ...grouped([...exported('stream', pepStreams), ...exported('service', pepServices)]),
        ...(auditors.length > 0
          ? [{ stream: patterns.checkpoint(ANY), accounts: auditors.map(auditorAccount) }]
          : []),
        ...siems.flatMap((siem) =>
          siemServices(siem).map((each) => ({
            service: each.remote,
            ...(each.stream ? { response_type: 'stream' } : {}),
            accounts: [siemAccount(siem)],
          })),
        ),
      ],
    },
    [SYSTEM_ACCOUNT]: { users: [{ nkey: nkey({ account: SYSTEM_ACCOUNT, user: 'sys' }) }] },
  };
  for (const { tenant, pep, account: name } of peps) {
    accounts[name] = {
      imports: [
        ...pepStreams(tenant, pep).map((subject) => ({ stream: fromServices(subject) })),
        ...pepServices(tenant, pep).map((subject) => ({ service: fromServices(subject) })),
      ],
      users: [account(name)(pep, pepRights(tenant, pep))],
    };
  }
  for (const siem of siems) {
    const services = siemServices(siem);
    accounts[siemAccount(siem)] = {
      imports: services.map((each) => ({
        service: fromServices(each.remote),
        ...(each.local === each.remote ? {} : { to: each.local }),
      })),
      users: [
        account(siemAccount(siem))(siem, {
          publish: services.map((each) => each.local),
          subscribe: [patterns.inbox(siem)],
        }),
      ],
    };
  }
  for (const auditor of auditors) {
    accounts[auditorAccount(auditor)] = {
      jetstream: 'enabled',
      imports: [{ stream: fromServices(patterns.checkpoint(ANY)) }],
      users: [account(auditorAccount(auditor))(auditor, auditorRights(auditor))],
    };
  }
  return {
    // A subscriber that does not read is cut off instead of slowing those who publish.
    write_deadline: '1s',
    max_pending: 16 * 1024 * 1024,
    jetstream: {},
    system_account: SYSTEM_ACCOUNT,
    accounts,
  };
}

/** The account of a PEP. */
function pepAccount(tenant: string, pep: string): string {
  return `PEP_${tenant}_${pep}`;
}

function siemAccount(siem: string): string {
  return `SIEM_${siem}`;
}

function auditorAccount(auditor: string): string {
  return `AUDITOR_${auditor}`;
}

function fromServices(subject: string): { account: string; subject: string } {
  return { account: SERVICES_ACCOUNT, subject };
}

/** One export per subject, with everybody who may import it. */
function grouped(
  single: { subject: string; account: string; kind: 'stream' | 'service' }[],
): Record<string, unknown>[] {
  const bySubject = new Map<string, { kind: 'stream' | 'service'; accounts: string[] }>();
  for (const { subject, account, kind } of single) {
    const known = bySubject.get(subject);
    if (known === undefined) bySubject.set(subject, { kind, accounts: [account] });
    else known.accounts.push(account);
  }
  return [...bySubject].map(([subject, { kind, accounts }]) => ({ [kind]: subject, accounts }));
}

/** User names are producers and callers in subjects, so each is given once. */
function checked(members: BusMembers): BusMembers {
  const reserved = new Set<string>([...SERVICES, OPERATOR, 'sys']);
  const claim = (set: Set<string>, name: string): void => {
    if (reserved.has(name) || set.has(name)) throw new RangeError(`the name ${name} is taken`);
    set.add(nodeName(name));
  };
  const tenants = new Set<string>();
  for (const { tenant, peps } of members.tenants) {
    if (tenants.has(tenantId(tenant))) throw new RangeError(`the tenant ${tenant} is named twice`);
    tenants.add(tenant);
    const names = new Set<string>(members.siems);
    for (const pep of peps) claim(names, pep);
  }
  const siems = new Set<string>();
  for (const siem of members.siems) claim(siems, siem);
  for (const auditor of members.auditors ?? []) claim(siems, auditor);
  return members;
}
