export { type FixedClock, fixedClock } from './clock.ts';
export {
  type Credentials,
  type ServiceConfig,
  type TestInfra,
  type TestInfraOptions,
  testInfra,
} from './infra.ts';
export { seededKeys } from './seeded-keys.ts';
export { type TestServers, testServers } from './servers.ts';
