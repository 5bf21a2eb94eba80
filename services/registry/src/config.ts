import { baseConfig, configSchema, integerField, pathField } from '@remit/service-kit';
import type { Static } from 'typebox';

/** The configuration of the registry; see `baseConfig` for what every service has. */
export const registryConfig = configSchema({
  ...baseConfig,
  busSignerFile: pathField({
    description: 'Signer file of registry events, beats and answers.',
  }),
  envelopeSignerFile: pathField({
    description: 'Signer file of the envelopes of agents.',
  }),
  streamReplicas: integerField({
    description: 'Copies of the stream REGISTRY in the NATS cluster.',
    minimum: 1,
    maximum: 5,
    default: 1,
  }),
});
export type RegistryConfig = Static<typeof registryConfig>;
