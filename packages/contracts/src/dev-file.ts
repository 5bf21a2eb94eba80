import { type Static, Type } from 'typebox';
import { closed, text } from './schema.ts';

const url = text(2_048);
const path = text(4_096);

/**
 * `.remit/dev.json`, which `npm start` and the demo write (0600) and `remit dev`, `remit tail` and any
 * other client read: where everything listens and how to get in. For development only: it holds
 * passwords and names key files. `docs/dev-json.md` says each field in words.
 */
export const devFile = closed({
  v: Type.Literal(1),
  /** The demo tenant. */
  tenant: text(31),
  /** Base URLs by name: the five services, `idp`, and each running instance of the ERP. */
  urls: Type.Record(Type.String(), url),
  /** The tenant's issuer, as its tokens spell it. */
  issuer: url,
  /** The audience of the ERP's tokens. */
  erp_audience: url,
  trust_file: path,
  /** The application of the IdP that people sign in to, and whose ID tokens agents present. */
  app: closed({ issuer: url, client_id: text(), redirect_uri: url }),
  /** Agents with their private keys. */
  clients: Type.Array(closed({ id: text(), key_file: path, bearer: Type.Boolean() })),
  users: Type.Array(closed({ id: text(), password: text(), groups: Type.Array(text()) })),
  nats: closed({
    url,
    server: text(),
    users: Type.Array(closed({ name: text(63), account: text(), seed_file: path })),
  }),
  postgres: closed({
    host: text(),
    port: Type.Integer(),
    /** Connection strings by role: `<service>` (no DDL) and `<service>_owner`. */
    roles: Type.Record(Type.String(), url),
  }),
  /** Ready commands, each with what it shows. */
  examples: Type.Array(closed({ says: text(), command: text(2_048) })),
});
export type DevFile = Static<typeof devFile>;
