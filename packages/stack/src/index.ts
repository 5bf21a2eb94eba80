export { cacheDir } from './binaries/cache.ts';
export { ensureNatsServer, type NatsServer } from './binaries/nats-server.ts';
export { StackError, type StackErrorCode } from './error.ts';
export {
  type KeyAlgorithm,
  type KeyFiles,
  type KeyMaker,
  type KeyPurpose,
  makeKeys,
  makeTrust,
  type PrivateJwk,
  privateJwk,
  publicPart,
  readSigner,
  type SignerFile,
  writeSecret,
} from './keys/key-files.ts';
export { assertPortFree, freePort } from './net/ports.ts';
export { startTcpProxy, type TcpProxy } from './net/tcp-proxy.ts';
export { sweep, writePidFile } from './process/pid-files.ts';
export { listenForStop, type StopRequest } from './process/stop-request.ts';
export {
  createSupervisor,
  type ManagedProcess,
  type ProcessExit,
  type ProcessSpec,
  type Supervisor,
} from './process/supervisor.ts';
export { waitUntil, waitUntilReady } from './process/wait.ts';
export { type RunningNats, startNats } from './servers/nats.ts';
export { type RunningPostgres, startPostgres } from './servers/postgres.ts';
export { databaseUrl, migrate, runSql, serviceRoles } from './stack/databases.ts';
export { readDevFile, writeDevFile } from './stack/dev-file.ts';
export {
  type BusFiles,
  type BusMembers,
  type DatabaseFiles,
  generateBus,
  generateRoles,
} from './stack/generators.ts';
export { removeStack, type StackPlan } from './stack/plan.ts';
export type { Program } from './stack/programs.ts';
export { repositoryRoot } from './stack/repository.ts';
export {
  type ExtraContext,
  type Stack,
  type StackFiles,
  type StackOptions,
  startStack,
} from './stack/start-stack.ts';
