import {
  ANY,
  beatShard,
  durables,
  jetStreamApi,
  patterns,
  rpc,
  type ServiceName,
  SIEM_API_PREFIX,
  streams,
  subjects,
} from '@remit/contracts';

/** What one user may publish and subscribe: pure allow-lists, everything else is refused. */
export type Rights = { publish: string[]; subscribe: string[] };

/** The user that reads along (tail, discovery of services); it changes nothing. */
export const OPERATOR = 'operator';

const declarations = Object.values(rpc);
const callsOf = (caller: string): string[] =>
  declarations
    .filter((each) => (each.callers as readonly string[]).includes(caller))
    .map((each) => patterns.rpc(each.callee, each.method, ANY, caller));

/** What the services send and hear beside calls, streams and records. */
const feeds: Record<ServiceName, Rights> = {
  audit: {
    publish: [patterns.auditMark(ANY, ANY), patterns.checkpoint(ANY)],
    subscribe: [],
  },
  issuer: {
    publish: [],
    subscribe: [patterns.revocation(ANY), patterns.revocationBeats],
  },
  pdp: {
    publish: [patterns.policy(ANY), subjects.policyBeat],
    subscribe: [patterns.revocation(ANY), patterns.revocationBeats, patterns.policy(ANY)],
  },
  registry: {
    publish: [patterns.registry(ANY), subjects.registryBeat],
    subscribe: [],
  },
  revocation: {
    publish: [patterns.revocation(ANY), patterns.revocationBeats],
    subscribe: [subjects.registryBeat, subjects.policyBeat],
  },
};

/**
 * The rights of a service: it calls what `rpc` lets it call, serves its own methods in its own queue
 * group, publishes records under its own name, hears its own commit marks, declares its own streams
 * and durables. `siems` are the durables that audit keeps for others.
 */
export function serviceRights(service: ServiceName, siems: readonly string[]): Rights {
  const serves = declarations.some((each) => each.callee === service);
  const ownStreams = Object.values(streams).filter((stream) => stream.owner === service);
  const ownDurables = Object.values(durables)
    .filter((each) => each.owner === service && each !== durables.auditSiem)
    .map((each) => ({ stream: each.stream, durable: each.durable }));
  return {
    publish: [
      ...callsOf(service),
      ...(serves ? [patterns.repliesOf(service), patterns.repliesAcrossAccounts] : []),
      patterns.audit(ANY, service),
      patterns.inbox(OPERATOR),
      ...feeds[service].publish,
      ...ownStreams.flatMap((stream) => jetStreamApi.ownStream(stream.name)),
      ...ownDurables.flatMap(({ stream, durable }) => [
        ...jetStreamApi.declareDurable(stream, durable),
        jetStreamApi.nextMessages(stream, durable),
        jetStreamApi.acknowledgements(stream, durable),
      ]),
      ...(service === durables.auditSiem.owner
        ? siems.flatMap((siem) => jetStreamApi.declareDurable(durables.auditSiem.stream, siem))
        : []),
    ],
    subscribe: [
      patterns.inbox(service),
      patterns.repliesTo(service),
      patterns.auditMark(ANY, service),
      ...(serves ? [`${subjects.rpcServed(service)} ${service}`] : []),
      ...patterns.discovery(service),
      ...feeds[service].subscribe,
    ],
  };
}

/** The rights of the operator: hears records and checkpoints, asks services who they are. */
export function operatorRights(): Rights {
  return {
    publish: [...patterns.discoveryRequests],
    subscribe: [patterns.inbox(OPERATOR), patterns.audit(ANY, ANY), patterns.checkpoint(ANY)],
  };
}

/**
 * The rights of a PEP: core subscriptions to its tenant's events, its shard's beats and its own marks;
 * records under its own name; the calls that `rpc` opens to PEPs. No JetStream right of any kind.
 */
export function pepRights(tenant: string, pep: string): Rights {
  return {
    publish: [...pepServices(tenant, pep)],
    subscribe: [patterns.inbox(pep), patterns.repliesTo(pep), ...pepStreams(tenant, pep)],
  };
}

/** What flows from the services' account into a PEP's. */
export function pepStreams(tenant: string, pep: string): string[] {
  return [
    subjects.revocation(tenant),
    subjects.revocationBeat(beatShard(tenant)),
    subjects.auditMark(tenant, pep),
  ];
}

/** What a PEP may send into the services' account. */
export function pepServices(tenant: string, pep: string): string[] {
  return [
    patterns.audit(tenant, pep),
    ...declarations
      .filter((each) => each.peps)
      .map((each) => subjects.rpc(each.callee, each.method, tenant, pep)),
  ];
}

/** The stream in which an auditor's account keeps checkpoints: its own, beyond the reach of ours. */
const AUDITOR_STREAM = 'CHECKPOINTS';

/**
 * The rights of an auditor in its own account: hears every checkpoint, and keeps them in a stream of
 * that account, which no user of another account can read, change or delete.
 */
export function auditorRights(auditor: string): Rights {
  return {
    publish: [
      ...jetStreamApi.ownStream(AUDITOR_STREAM),
      ...jetStreamApi.declareDurable(AUDITOR_STREAM, auditor),
      jetStreamApi.nextMessages(AUDITOR_STREAM, auditor),
      jetStreamApi.acknowledgements(AUDITOR_STREAM, auditor),
    ],
    subscribe: [patterns.inbox(auditor), patterns.checkpoint(ANY)],
  };
}

/** What a SIEM may send: read its own durable of the audit stream, which audit made, and acknowledge. */
export function siemServices(siem: string): { remote: string; local: string; stream: boolean }[] {
  const { stream } = durables.auditSiem;
  const api = (subject: string, isStream: boolean) => ({
    remote: subject,
    local: jetStreamApi.below(SIEM_API_PREFIX, subject),
    stream: isStream,
  });
  return [
    api(jetStreamApi.consumerInfo(stream, siem), false),
    api(jetStreamApi.nextMessages(stream, siem), true),
    api(jetStreamApi.acknowledgements(stream, siem), false),
  ];
}
