import { connect } from 'node:tls';
import { kidOf } from './kid.ts';

/** One thing that was looked at. `advice` says what to do where it is not well. */
export type Check = {
  what: string;
  state: 'fault' | 'ok' | 'warning';
  found: string;
  advice?: string;
};

const TIMEOUT_MS = 5_000;
/** DPoP proofs, assertions and beats are judged by clocks: this far apart they still work. */
const CLOCK_WARNING_MS = 2_000;
const CLOCK_FAULT_MS = 10_000;
const CERTIFICATE_WARNING_DAYS = 21;
const DAY_MS = 86_400_000;

export type Looked = { checks: Check[]; version?: string; instance?: string };

/** What a service says of itself without anybody signing in: readiness, clock, version, alarms. */
export async function lookAtService(name: string, url: string): Promise<Looked> {
  const startedAt = Date.now();
  const answer = await get(`${url}/readyz`);
  if (!answer)
    return {
      checks: [
        {
          what: name,
          state: 'fault',
          found: `${url} does not answer`,
          advice: `Is ${name} running, and is its URL right? Its own log says why it stopped.`,
        },
      ],
    };
  const checks = [readiness(name, answer), clock(name, answer, startedAt)];
  const certificate = await certificateOf(name, url);
  if (certificate) checks.push(certificate);
  const metrics = await get(`${url}/metrics`);
  const read = readMetrics(metrics?.text ?? '');
  checks.push(...alarms(name, read.values));
  return { checks, ...(read.version === undefined ? {} : { version: read.version }) };
}

/** Whether the keys that a service publishes are those that the trust file pins. */
export async function lookAtKeys(
  name: string,
  url: string,
  pinned: readonly object[],
  /** It also publishes keys that no trust file pins: those of status lists. */
  others = false,
): Promise<Check> {
  const what = `${name} keys`;
  const answer = await get(`${url}/.well-known/jwks.json`);
  const keys = (parsed(answer?.text) as { keys?: object[] } | undefined)?.keys;
  if (!Array.isArray(keys))
    return {
      what,
      state: 'warning',
      found: 'no keys are published',
      advice: `Look at ${name} first.`,
    };
  const known = new Set(pinned.map(kidOf));
  const strange = keys.map(kidOf).filter((kid) => !known.has(kid));
  if (strange.length === keys.length && keys.length > 0)
    return {
      what,
      state: 'fault',
      found: `none of the published keys is pinned (${strange.join(', ')})`,
      advice:
        'Whoever has this trust file believes nothing of it. Give PEPs a trust file with its key.',
    };
  if (strange.length > 0 && !others)
    return {
      what,
      state: 'warning',
      found: `a published key is not pinned yet: ${strange.join(', ')}`,
      advice:
        'A change of keys is under way: give PEPs the trust file with the next key before it signs.',
    };
  return {
    what,
    state: 'ok',
    found: others
      ? `${keys.length - strange.length} of ${keys.length} published are pinned, the others sign status lists`
      : `${keys.length} published, all pinned`,
  };
}

type Answer = { status: number; date: string | null; text: string };

async function get(url: string): Promise<Answer | undefined> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    });
    return {
      status: response.status,
      date: response.headers.get('date'),
      text: await response.text(),
    };
  } catch {
    return undefined;
  }
}

function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readiness(name: string, { status, text }: Answer): Check {
  const body = (parsed(text) ?? {}) as {
    checks?: Record<string, { ok: boolean; reason?: string }>;
  };
  const wrong = Object.entries(body.checks ?? {}).filter(([, { ok }]) => !ok);
  if (status === 200 && wrong.length === 0)
    return {
      what: name,
      state: 'ok',
      found: `ready (${Object.keys(body.checks ?? {}).join(', ')})`,
    };
  const why = wrong.map(([check, { reason }]) => `${check}: ${reason ?? 'not well'}`).join('; ');
  return {
    what: name,
    state: 'fault',
    found: why ? `not ready: ${why}` : `not ready (HTTP ${status})`,
    advice: 'It refuses until this heals, and needs no restart. Look at what it names.',
  };
}

/** HTTP dates are whole seconds, cut off; the answer took a while too. */
function clock(name: string, { date }: Answer, startedAt: number): Check {
  const what = `${name} clock`;
  const theirs = Date.parse(date ?? '');
  if (Number.isNaN(theirs)) return { what, state: 'warning', found: 'it tells no time' };
  const early = Math.max(0, startedAt - (theirs + 999));
  const late = Math.max(0, theirs - Date.now());
  const apart = Math.max(early, late);
  if (apart <= CLOCK_WARNING_MS) return { what, state: 'ok', found: 'agrees with this machine' };
  return {
    what,
    state: apart > CLOCK_FAULT_MS ? 'fault' : 'warning',
    found: `${(apart / 1_000).toFixed(1)} s ${early > 0 ? 'behind' : 'ahead of'} this machine`,
    advice: 'Proofs, tokens and beats are judged by clocks: set both by NTP.',
  };
}

function certificateOf(name: string, url: string): Promise<Check | undefined> {
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== 'https:') return Promise.resolve(undefined);
  const what = `${name} certificate`;
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port || 443), servername: hostname });
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timeout')));
    socket.once('error', (error) => {
      resolve({ what, state: 'fault', found: error.message, advice: 'Renew or trust it.' });
    });
    socket.once('secureConnect', () => {
      const days = (Date.parse(socket.getPeerCertificate().valid_to) - Date.now()) / DAY_MS;
      socket.destroy();
      const found = `ends in ${Math.floor(days)} days`;
      resolve(
        days < CERTIFICATE_WARNING_DAYS
          ? { what, state: 'warning', found, advice: 'Renew it now.' }
          : { what, state: 'ok', found },
      );
    });
  });
}

function readMetrics(text: string): { values: Map<string, number>; version?: string } {
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, value] = /^([a-z_]+)(?:\{.*\})? ([0-9.eE+-]+)$/.exec(line) ?? [];
    if (name !== undefined) values.set(name, (values.get(name) ?? 0) + Number(value));
  }
  const version = /^remit_build_info\{[^}]*version="([^"]*)"/m.exec(text)?.[1];
  return { values, ...(version === undefined ? {} : { version }) };
}

/** Metrics that ought to be 0, or small, with what it means where they are not. */
const ALARMS: readonly {
  metric: string;
  above: number;
  state: 'fault' | 'warning';
  says: string;
  advice: string;
}[] = [
  {
    metric: 'remit_spool_records',
    above: 1_000,
    state: 'warning',
    says: 'audit records wait in its spool',
    advice: 'Is audit running, and does it keep up? A full spool refuses every call.',
  },
  {
    metric: 'remit_audit_number_gaps',
    above: 0,
    state: 'fault',
    says: 'numbers of records are missing in the ledger',
    advice: 'A producer lost records, or somebody took them. See docs/ledger.md.',
  },
  {
    metric: 'remit_audit_quarantined_total',
    above: 0,
    state: 'warning',
    says: 'messages that are no records were set aside',
    advice: 'Look at the quarantine of the audit service.',
  },
  {
    metric: 'remit_audit_conflicts_total',
    above: 0,
    state: 'fault',
    says: 'records came twice with other content',
    advice: 'Two producers share a name, or one was copied. See docs/ledger.md.',
  },
  {
    metric: 'remit_pdp_policy_errors_total',
    above: 0,
    state: 'fault',
    says: 'decisions were refused because a guardrail could not be evaluated',
    advice: 'Its log names the guardrail: "remit policy rollback", or correct it.',
  },
  {
    metric: 'remit_pdp_registry_data_refused_total',
    above: 0,
    state: 'fault',
    says: 'envelopes or scopes of the registry could not be used',
    advice: 'Load the registry again; what cannot be read admits nothing.',
  },
  {
    metric: 'remit_pdp_outbox_unsent',
    above: 10,
    state: 'warning',
    says: 'policy events wait to be sent',
    advice: 'Is NATS there? Until they are sent, tokens are not asked about again.',
  },
];

function alarms(name: string, values: ReadonlyMap<string, number>): Check[] {
  return ALARMS.flatMap(({ metric, above, state, says, advice }) => {
    const value = values.get(metric);
    if (value === undefined || value <= above) return [];
    return [{ what: name, state, found: `${value} ${says} (${metric})`, advice }];
  });
}
