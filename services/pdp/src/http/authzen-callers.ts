import { createHash, timingSafeEqual } from 'node:crypto';
import { ContractError, closed, conform, tenantId, text } from '@remit/contracts';
import { readJsonFile, tenantOf } from '@remit/service-kit';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { type ExternalConfig, externalConfig } from '../decide/external.ts';
import { PdpError } from '../errors.ts';
import type { Admit } from './admit.ts';

const id = text(128);

/**
 * An application that may ask with a key of its own. What stands here is what an AuthZEN request has
 * no word for; the application cannot say it otherwise.
 */
const client = closed({
  id,
  /** SHA-256 of its key, base64url. The key itself is nowhere here. */
  key_sha256: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  /** The one tool that it asks about. */
  audience: text(2_048),
  /** Agents of a request that names none. */
  actors: Type.Optional(Type.Array(id, { minItems: 1, maxItems: 9 })),
  /** Task of a request that names none. */
  task: Type.Optional(
    closed({
      id: Type.Optional(text(64)),
      type: id,
      slots: Type.Optional(
        Type.Record(Type.String({ maxLength: 32 }), Type.Union([text(256), Type.Number()])),
      ),
    }),
  ),
});
export type AuthzenClient = Static<typeof client>;

const authzenFile = Type.Record(
  Type.String({ maxLength: 31 }),
  closed({
    clients: Type.Optional(Type.Array(client, { maxItems: 256 })),
    external: Type.Optional(externalConfig),
  }),
);
export type AuthzenFile = Static<typeof authzenFile>;

/**
 * Reads the file about AuthZEN: per tenant, the applications that may ask and the decision point to
 * ask. Throws PdpError `EXTERNAL_CONFIG_INVALID`, or ServiceError `KEY_FILE_INVALID` for what is no
 * JSON.
 */
export function readAuthzenFile(path: string | undefined): AuthzenFile {
  if (path === undefined) return {};
  try {
    const file = conform(authzenFile, readJsonFile(path));
    for (const tenant of Object.keys(file)) tenantId(tenant);
    return file;
  } catch (cause) {
    if (!(cause instanceof ContractError)) throw cause;
    throw new PdpError('EXTERNAL_CONFIG_INVALID', `${path}: ${cause.message}`, {}, { cause });
  }
}

/** The decision points of the tenants that have one. */
export function externalsOf(file: AuthzenFile): Record<string, ExternalConfig> {
  return Object.fromEntries(
    Object.entries(file).flatMap(([tenant, { external }]) =>
      external ? [[tenant, external] as const] : [],
    ),
  );
}

/** Who asks: an application by its key, or a person of the tenant who may know the answers. */
export type Caller = { tenant: string; id: string; client?: AuthzenClient };

const KEY = /^Bearer ([A-Za-z0-9_-]{32,256})$/i;

/**
 * Lets applications in by their keys, and people with a role. Keys are compared by their hashes; one
 * that nobody has is refused as a token of a person would be (401 with a challenge), and counted.
 */
export function createCallers(
  file: AuthzenFile,
  admit: Admit,
): (request: FastifyRequest) => Promise<Caller> {
  return async (request) => {
    const tenant = tenantOf(request);
    const key = KEY.exec(request.headers.authorization ?? '')?.[1];
    const found = key === undefined ? undefined : holderOf(clientsOf(file, tenant), key);
    if (found) return { tenant, id: found.id, client: found };
    const { person } = await admit(request, ['remit-auditor', 'remit-admin']);
    return { tenant, id: person.id };
  };
}

const clientsOf = (file: AuthzenFile, tenant: string) =>
  Object.hasOwn(file, tenant) ? (file[tenant]?.clients ?? []) : [];

function holderOf(clients: readonly AuthzenClient[], key: string): AuthzenClient | undefined {
  const hash = createHash('sha256').update(key).digest();
  return clients.find(({ key_sha256: wanted }) => {
    const bytes = Buffer.from(wanted, 'base64url');
    return bytes.length === hash.length && timingSafeEqual(bytes, hash);
  });
}
