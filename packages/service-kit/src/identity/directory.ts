import type { Bus, Verifier } from '@remit/bus';
import {
  bodyDigest,
  conform,
  type EnvelopeBody,
  type EnvelopePayload,
  envelopePayload,
  type LookupRequest,
  type LookupResponse,
  parseJsonStrict,
  type RegistryBody,
  type RegistryBodyKind,
  registryBody,
  SIGNED,
} from '@remit/contracts';
import { ServiceError } from '../errors.ts';

export type BodyOf<K extends RegistryBodyKind> = Extract<RegistryBody, { kind: K }>;

/** The registry as others see it: one look-up per decision, bodies by digest. */
export type Directory = {
  /** Asked every time: statuses are never kept. */
  lookup: (tenant: string, request: LookupRequest) => Promise<LookupResponse>;
  /** Kept: a digest names one text for ever. Frozen. Throws ServiceError `BODY_INVALID`. */
  body: <K extends RegistryBodyKind>(tenant: string, digest: string, kind: K) => Promise<BodyOf<K>>;
};

const MAX_BODIES = 4_096;

/**
 * The registry over the bus. Answers are believed by the registry's pinned key alone (`verifier`); a
 * body only when its SHA-256 is the digest and it follows the schema of its kind. At most
 * `maxBodies` (default 4096) bodies are kept, the longest unused goes first. Rejects with the bus's
 * errors.
 */
export function createLookupClient(options: {
  bus: Pick<Bus, 'call'>;
  verifier: Verifier;
  maxBodies?: number;
}): Directory {
  const { bus, verifier, maxBodies = MAX_BODIES } = options;
  const bodies = new Map<string, RegistryBody>();

  async function fetchBody(tenant: string, digest: string): Promise<RegistryBody> {
    const answer = await bus.call('registry.body', tenant, { digest }, { verifier });
    return readBody(answer.text, digest);
  }

  return {
    lookup: (tenant, request) => bus.call('registry.lookup', tenant, request, { verifier }),
    body: async (tenant, digest, kind) => {
      const key = `${tenant}/${digest}`;
      const known = bodies.get(key);
      const body = known ?? (await fetchBody(tenant, digest));
      bodies.delete(key);
      bodies.set(key, body);
      if (bodies.size > maxBodies) bodies.delete(bodies.keys().next().value as string);
      return requireKind(body, kind, digest);
    },
  };
}

/** Checks a body's text against its digest and schema; returns it frozen. */
export function readBody(text: string, digest: string): RegistryBody {
  if (bodyDigest(text) !== digest) {
    throw new ServiceError('BODY_INVALID', 'a registry body is not the one that was asked for', {
      digest,
    });
  }
  try {
    return deepFreeze(conform(registryBody, parseJsonStrict(text)));
  } catch (cause) {
    throw new ServiceError('BODY_INVALID', 'a registry body is not readable', { digest }, cause);
  }
}

/** Throws `BODY_INVALID` when a digest names a body of another kind than it stood for. */
export function requireKind<K extends RegistryBodyKind>(
  body: RegistryBody,
  kind: K,
  digest: string,
): BodyOf<K> {
  if (body.kind !== kind) {
    throw new ServiceError('BODY_INVALID', 'a registry body is of another kind', {
      digest,
      expected: kind,
      actual: body.kind,
    });
  }
  return body as BodyOf<K>;
}

/**
 * Opens an envelope: the registry's envelope key (`verifier`), the `typ`, its schema, and that it was
 * signed for this tenant and agent. Does not read its permissions: `scope()` does. Throws
 * `BODY_INVALID`, or BusError for a signature.
 */
export function openEnvelope(
  verifier: Verifier,
  body: EnvelopeBody,
  expected: { tenant: string; agent: string },
): EnvelopePayload {
  const text = Buffer.from(verifier.verify(SIGNED.envelope, body.jws)).toString('utf8');
  let payload: EnvelopePayload;
  try {
    payload = conform(envelopePayload, parseJsonStrict(text));
  } catch (cause) {
    throw new ServiceError('BODY_INVALID', 'an envelope is not readable', expected, cause);
  }
  if (payload.tenant !== expected.tenant || payload.agent !== expected.agent) {
    throw new ServiceError('BODY_INVALID', 'an envelope was signed for somebody else', expected);
  }
  return deepFreeze(payload);
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
}
