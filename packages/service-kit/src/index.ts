export { baseConfig } from './config/base-config.ts';
export {
  booleanField,
  choiceField,
  type FieldOptions,
  integerField,
  pathField,
  secretField,
  textField,
  urlField,
} from './config/fields.ts';
export {
  type ConfigEntry,
  configSchema,
  describeConfig,
  type Environment,
  type LoadedConfig,
  loadConfig,
  redactConfig,
  variableName,
} from './config/load-config.ts';
export {
  createDatabase,
  type Database,
  type DatabaseOptions,
  type TransactionOptions,
} from './data/database.ts';
export {
  type MigrateOptions,
  type MigrationContext,
  type Migrations,
  runMigrations,
  type TenantTableOptions,
} from './data/migrations.ts';
export {
  createOutbox,
  createOutboxTables,
  type Outbox,
  type OutboxEntry,
  type OutboxOptions,
  type OutboxPayload,
  type OutboxTables,
} from './data/outbox.ts';
export {
  ServiceError,
  type ServiceErrorCode,
  WIRE_MAPPINGS,
  WireError,
  type WireErrorOptions,
  type WireMapping,
  wireError,
} from './errors.ts';
export { createHttpApp, formatErrors, type HttpAppOptions } from './http/app.ts';
export {
  type Consumes,
  FORM_TYPE,
  JSON_TYPE,
  parseFormBody,
  parseJsonBody,
} from './http/parsers.ts';
export { type ErrorFormat, sendError } from './http/problem.ts';
export { tenantOf, tenantParam } from './http/routing.ts';
export type { Fetch } from './identity/bounded-fetch.ts';
export {
  type BodyOf,
  createLookupClient,
  type Directory,
  openEnvelope,
  readBody,
  requireKind,
} from './identity/directory.ts';
export {
  createIdpKeys,
  IDP_ALGORITHMS,
  type IdpKeys,
  type IdpToken,
  type VerifyIdpTokenOptions,
} from './identity/idp-keys.ts';
export {
  type AdminRole,
  createPeopleAuth,
  type PeopleAuth,
  type PeopleAuthOptions,
  type Person,
  strangerCounter,
} from './identity/people.ts';
export { type BaseConfig, type Kit, type KitDeps, openKit } from './kit/open-kit.ts';
export { type Clock, nowSeconds, systemClock } from './process/clock.ts';
export {
  type CheckState,
  createHealth,
  type Health,
  type HealthCheck,
  NotReady,
  type Readiness,
} from './process/health.ts';
export { readJsonFile, readSigner, readTrustFile } from './process/key-files.ts';
export { createLifecycle, type Lifecycle, type Phase, within } from './process/lifecycle.ts';
export { createLogger, type Logger, type LogOptions, scrub } from './process/log.ts';
export {
  type Counter,
  createMetrics,
  type GaugeReader,
  type Histogram,
  type Labels,
  type Metrics,
} from './process/metrics.ts';
export { migrateService } from './process/run-migrations.ts';
export { type App, type RunOptions, runService } from './process/run-service.ts';
export { toWireError } from './wire.ts';
