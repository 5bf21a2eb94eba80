import { baseConfig, configSchema, integerField, pathField } from '@remit/service-kit';
import type { Static } from 'typebox';

/** The issuer's settings: those of every service and its own. */
export const config = configSchema({
  ...baseConfig,
  tokenKeysFile: pathField({
    description:
      'Token key file: per tenant the private keys that sign its tokens, the first of each algorithm signs. Read again on SIGHUP.',
  }),
  dpopWindowSeconds: integerField({
    description: "How far a DPoP proof's time may be from this machine's clock.",
    minimum: 10,
    maximum: 60,
    default: 30,
  }),
  dpopNonceSeconds: integerField({
    description:
      'How long a nonce that proofs must carry is good. 0 asks for none, for clients that cannot repeat a request.',
    minimum: 0,
    maximum: 600,
    default: 300,
  }),
});
export type IssuerConfig = Static<typeof config>;
