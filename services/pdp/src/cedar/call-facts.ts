import { isIP } from 'node:net';
import type { CedarValueJson, EntityJson } from '@cedar-policy/cedar-wasm/nodejs';
import { canonicalText, type Signals } from '@remit/contracts';
import { PdpError } from '../errors.ts';
import { carryText } from './values.ts';

type Counts = { calls: number; denials: number; volume: number };

/** What a task has asked of the pdp so far, this call included. */
export type SessionFacts = Counts & {
  tools: readonly string[];
  actions: readonly string[];
  /** The same of the last five minutes. */
  recent: Counts;
};

/** Properties of an AuthZEN subject, action and resource, as whoever asks gave them. */
export type Attested = {
  subject?: Readonly<Record<string, unknown>> | undefined;
  action?: Readonly<Record<string, unknown>> | undefined;
  resource?: Readonly<Record<string, unknown>> | undefined;
};

/** Facts of one call. None of them is fixed: a guardrail that reads one is asked at every call. */
export type CallFacts = {
  approval?: string | undefined;
  signals?: Signals | undefined;
  session?: SessionFacts | undefined;
  attested?: Attested | undefined;
};

const NO_COUNTS: Counts = { calls: 0, denials: 0, volume: 0 };
const NO_SESSION: SessionFacts = { ...NO_COUNTS, tools: [], actions: [], recent: NO_COUNTS };
const SIDES = ['subject', 'action', 'resource'] as const;

/**
 * The members of Cedar's context that hold for one call. Without a session its counts are 0: give one
 * wherever a set reads it. Throws PdpError `POLICY_ERROR` for an address that is none.
 */
export function callContext(call: CallFacts = {}): Record<string, CedarValueJson> {
  const { approval, signals = {}, session = NO_SESSION } = call;
  const { risk, flags = [], acr, auth_age_seconds: age } = signals;
  // How a socket for both families says an IPv4 address; Cedar takes none that is embedded.
  const ip = signals.ip?.replace(/^::ffff:(?=[0-9.]+$)/i, '');
  if (ip !== undefined && (isIP(ip) === 0 || ip.includes('%')))
    throw new PdpError('POLICY_ERROR', 'an address cannot be given to a policy');
  return {
    ...(approval === undefined ? {} : { approval: { id: carryText(approval) } }),
    authentication: {
      ...(acr === undefined ? {} : { acr: carryText(acr) }),
      ...(age === undefined ? {} : { age_seconds: age }),
    },
    network: ip === undefined ? {} : { ip: { __extn: { fn: 'ip', arg: ip } } },
    risk: { ...(risk === undefined ? {} : { score: risk }), flags: flags.map(carryText) },
    session: {
      ...counts(session),
      tools: session.tools.map(carryText),
      actions: session.actions.map(carryText),
      recent: counts(session.recent),
    },
    attested: Object.fromEntries(
      SIDES.map((side) => [side, { __entity: { type: 'Properties', id: side } }]),
    ),
  };
}

const counts = ({ calls, denials, volume }: Counts) => ({ calls, denials, volume });

/**
 * Properties have no declared types, so a policy reads each as text: a text as it is, anything else as
 * its canonical JSON. `null` is absent.
 */
export function propertyEntities(attested: Attested = {}): EntityJson[] {
  return SIDES.map((side) => ({
    uid: { type: 'Properties', id: side },
    attrs: {},
    parents: [],
    tags: Object.fromEntries(
      Object.entries(attested[side] ?? {}).flatMap(([key, value]) =>
        value === null || value === undefined ? [] : [[carryText(key), asText(value)]],
      ),
    ),
  }));
}

function asText(value: unknown): string {
  if (typeof value === 'string') return carryText(value);
  try {
    return canonicalText(value);
  } catch (cause) {
    throw new PdpError('POLICY_ERROR', 'a property cannot be given to a policy', {}, { cause });
  }
}
