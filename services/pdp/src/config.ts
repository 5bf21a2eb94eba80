import { baseConfig, configSchema, integerField, pathField } from '@remit/service-kit';
import type { Static } from 'typebox';

/** The configuration of the pdp; see `baseConfig` for what every service has. */
export const pdpConfig = configSchema({
  ...baseConfig,
  busSignerFile: pathField({
    description: 'Signer file of answers, policy events and beats on the bus.',
  }),
  streamReplicas: integerField({
    description: 'Copies of the stream POLICY in the NATS cluster.',
    minimum: 1,
    maximum: 5,
    default: 1,
  }),
});
export type PdpConfig = Static<typeof pdpConfig>;
