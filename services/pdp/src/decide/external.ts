import { ContractError, closed, oneOf, parseJsonStrict, text } from '@remit/contracts';
import type { Logger, Metrics } from '@remit/service-kit';
import { type Static, Type } from 'typebox';
import { PdpError } from '../errors.ts';

/** A decision point of the organisation that is asked besides the guardrails. */
export const externalConfig = closed({
  /** Its Access Evaluation endpoint (AuthZEN 1.0 section 6). */
  url: text(2_048),
  /** E.g. `authorization`. */
  headers: Type.Optional(
    Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 4_096 })),
  ),
  /** Milliseconds until it counts as silent; 500 by default. */
  timeout_ms: Type.Optional(Type.Integer({ minimum: 10, maximum: 1_500 })),
  /** `loopback`: plain http to this machine is taken. Anything else needs https. */
  insecure: Type.Optional(oneOf('loopback')),
});
export type ExternalConfig = Static<typeof externalConfig>;

/** What is asked: the operation and the composite identity, in AuthZEN's words. */
export type ExternalQuestion = {
  /** Of the decision; goes along as `X-Request-ID`. */
  id: string;
  tenant: string;
  user: string;
  actors: readonly string[];
  client: string;
  audience: string;
  task: { id: string; type: string };
  operation: { action: string; resource: string; args: Readonly<Record<string, unknown>> };
};

export type External = {
  /** Whether the tenant has one. Then no call may be decided without asking it. */
  has: (tenant: string) => boolean;
  /** Never rejects: what is not a `true` that can be believed is a refusal. */
  ask: (
    question: ExternalQuestion,
  ) => Promise<'permitted' | 'external_forbid' | 'external_unavailable'>;
};

const MAX_BYTES = 65_536;
const LOOPBACK = new Set(['127.0.0.1', '[::1]', 'localhost']);

/**
 * Asks the AuthZEN decision points of tenants. Allows only on 200, `application/json`, at most 64 KiB
 * of JSON with unique names, `decision` literally `true` and no obligation: anything else, a redirect,
 * silence beyond the time limit, a connection that breaks, refuses. Follows no redirect, so that
 * headers go nowhere else. Throws PdpError `EXTERNAL_CONFIG_INVALID` for an address that is not https.
 */
export function createExternal(options: {
  tenants: Readonly<Record<string, ExternalConfig>>;
  fetch?: typeof globalThis.fetch;
  log: Logger;
  metrics: Metrics;
}): External {
  const { fetch = globalThis.fetch, log, metrics } = options;
  const tenants = new Map(Object.entries(options.tenants));
  for (const [tenant, config] of tenants) checkAddress(tenant, config);
  const answers = metrics.counter(
    'remit_pdp_external_total',
    'Answers of the organisations’ decision points.',
  );

  async function ask(config: ExternalConfig, question: ExternalQuestion): Promise<boolean> {
    const response = await fetch(config.url, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        ...config.headers,
        'content-type': 'application/json',
        accept: 'application/json',
        'x-request-id': question.id,
      },
      body: JSON.stringify(evaluationOf(question)),
      signal: AbortSignal.timeout(config.timeout_ms ?? 500),
    });
    try {
      if (response.status !== 200) throw refused(`it answered ${response.status}`);
      const type = response.headers.get('content-type') ?? '';
      if (!/^application\/json *(;.*)?$/i.test(type)) throw refused('it answered no JSON');
      return readDecision(await readBounded(response));
    } finally {
      await response.body?.cancel().catch(() => undefined);
    }
  }

  return {
    has: (tenant) => tenants.has(tenant),
    async ask(question) {
      const config = tenants.get(question.tenant);
      let outcome: Awaited<ReturnType<External['ask']>> = 'external_unavailable';
      try {
        if (config) outcome = (await ask(config, question)) ? 'permitted' : 'external_forbid';
      } catch (error) {
        log.warn(
          { err: error, tenant: question.tenant },
          'a decision point of a tenant gave no answer that can be believed',
        );
      }
      answers.add({ outcome });
      return outcome;
    },
  };
}

function checkAddress(tenant: string, { url, insecure }: ExternalConfig): void {
  const parsed = URL.parse(url);
  const secure =
    parsed?.protocol === 'https:' ||
    (insecure === 'loopback' && parsed?.protocol === 'http:' && LOOPBACK.has(parsed.hostname));
  if (!parsed || !secure || parsed.username !== '' || parsed.hash !== '')
    throw new PdpError(
      'EXTERNAL_CONFIG_INVALID',
      'the decision point of a tenant is not an https address',
      { tenant },
    );
}

function evaluationOf(question: ExternalQuestion) {
  const { user, actors, client, audience, task, operation, tenant } = question;
  const slash = operation.resource.indexOf('/');
  return {
    subject: { type: 'user', id: user },
    action: { name: operation.action, properties: operation.args },
    resource:
      slash === -1
        ? { type: operation.resource, id: operation.resource }
        : {
            type: operation.resource.slice(0, slash),
            id: operation.resource.slice(slash + 1),
          },
    context: { tenant, actors, client, audience, task },
  };
}

function readDecision(body: string): boolean {
  let value: unknown;
  try {
    value = parseJsonStrict(body, { maxLength: MAX_BYTES });
  } catch (cause) {
    if (!(cause instanceof ContractError)) throw cause;
    throw refused('it answered JSON that cannot be read', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refused('it answered no object');
  const { decision, context } = value as { decision?: unknown; context?: unknown };
  if (decision === false) return false;
  if (decision !== true) throw refused('its decision is neither true nor false');
  // An allow with a condition: nobody here knows how to meet it.
  const conditions = (context as { obligations?: unknown } | null | undefined)?.obligations;
  if (conditions !== undefined && !(Array.isArray(conditions) && conditions.length === 0))
    throw refused('it asks for obligations');
  return true;
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_BYTES) throw refused('it answered too much');
    chunks.push(chunk);
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
}

const refused = (why: string, cause?: unknown) =>
  new PdpError('EXTERNAL_UNAVAILABLE', why, {}, { cause });
