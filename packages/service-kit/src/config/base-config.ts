import { Type } from 'typebox';
import { ServiceError } from '../errors.ts';
import {
  booleanField,
  choiceField,
  integerField,
  pathField,
  secretField,
  textField,
  urlField,
} from './fields.ts';

/** The fields that every service has: `Type.Object({ ...baseConfig, … })`. */
export const baseConfig = {
  httpHost: textField({ description: 'Address to listen on.', default: '127.0.0.1' }),
  httpPort: integerField({
    description: 'Port to listen on; 0 lets the system choose.',
    minimum: 0,
    maximum: 65_535,
    default: 0,
  }),
  publicUrl: urlField({
    description:
      'Base URL under which others reach this service, without a trailing slash. Issuer and audience are built from it.',
    schemes: ['https:', 'http:'],
  }),
  databaseUrl: secretField({
    description: 'PostgreSQL URL with the role of this service, which has no DDL rights.',
  }),
  natsUrl: textField({
    description: 'URL of the NATS server, or several of one cluster separated by commas.',
    pattern: '^(nats|tls)://[^\\s,/@]+(,(nats|tls)://[^\\s,/@]+)*$',
    default: 'nats://127.0.0.1:4222',
  }),
  natsUser: Type.Optional(
    textField({
      description: "This service's user on the bus; its own name when it is not given.",
      pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
    }),
  ),
  natsSeed: secretField({ description: 'Seed of the nkey of this NATS user.' }),
  trustFile: pathField({
    description: 'Trust file: pinned public keys of all signing services, issuers of all tenants.',
  }),
  spoolDir: pathField({
    description: 'Folder for audit records that the bus has not acknowledged yet.',
  }),
  logLevel: choiceField(['fatal', 'error', 'warn', 'info', 'debug', 'trace'], {
    description: 'Least level that is logged.',
    default: 'info',
  }),
  instance: Type.Optional(
    textField({
      description: 'Name of this instance in records and logs; random when it is not given.',
      pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
    }),
  ),
  production: booleanField({
    description:
      'Refuses what is fine on one machine only: public URLs without TLS and NATS servers that are too old.',
    default: false,
  }),
  insecureDatabase: booleanField({
    description:
      'Accepts a PostgreSQL that runs without fsync, full_page_writes or synchronous_commit. For tests only.',
    default: false,
  }),
};

/**
 * What `production` refuses in a configuration: tokens, codes and seeds that would cross a network in
 * plain. Throws ServiceError `CONFIG_INVALID`.
 */
export function assertProduction(config: {
  production?: boolean;
  publicUrl?: string;
  insecureDatabase?: boolean;
}): void {
  if (config.production !== true) return;
  const problems = [
    config.publicUrl?.startsWith('http:') &&
      'REMIT_PUBLIC_URL is without TLS. Give the https URL under which others reach this service.',
    config.insecureDatabase === true &&
      'REMIT_INSECURE_DATABASE=true is for tests only. Remove it.',
  ].filter((problem) => typeof problem === 'string');
  if (problems.length === 0) return;
  const list = problems.map((problem) => `  - ${problem}`).join('\n');
  throw new ServiceError(
    'CONFIG_INVALID',
    `The configuration is not fit for REMIT_PRODUCTION=true:\n${list}`,
    { problems },
  );
}
