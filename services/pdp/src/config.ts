import { baseConfig, configSchema, integerField, pathField } from '@remit/service-kit';
import { type Static, Type } from 'typebox';

/** The configuration of the pdp; see `baseConfig` for what every service has. */
export const pdpConfig = configSchema({
  ...baseConfig,
  busSignerFile: pathField({
    description: 'Signer file of answers, policy events and beats on the bus.',
  }),
  authzenFile: Type.Optional(
    pathField({
      description:
        'JSON per tenant: the applications that may ask over AuthZEN, and a decision point of the organisation to ask besides.',
    }),
  ),
  maxInFlight: Type.Optional(
    integerField({
      description:
        'Requests decided at once, over HTTP and over the bus each; more are refused at once. 256 unless given.',
      minimum: 1,
      maximum: 10_000,
    }),
  ),
  streamReplicas: integerField({
    description: 'Copies of the stream POLICY in the NATS cluster.',
    minimum: 1,
    maximum: 5,
    default: 1,
  }),
});
export type PdpConfig = Static<typeof pdpConfig>;
