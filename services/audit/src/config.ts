import { baseConfig, configSchema, integerField, pathField, textField } from '@remit/service-kit';
import type { Static } from 'typebox';

/** The configuration of the audit service; see `baseConfig` for what every service has. */
export const auditConfig = configSchema({
  ...baseConfig,
  busSignerFile: pathField({
    description: 'Signer file of the commit marks and of checkpoints on the bus.',
  }),
  checkpointSignerFile: pathField({
    description:
      'Signer file of checkpoints: the first Ed25519 key signs, the first ML-DSA-44 key, if any, cosigns.',
  }),
  checkpointDir: pathField({
    description:
      'Folder outside the database for signed checkpoints, one file per tenant that only grows.',
  }),
  checkpointRecords: integerField({
    description: 'Records of a tenant after which a checkpoint is signed at once.',
    minimum: 1,
    maximum: 100_000,
    default: 256,
  }),
  checkpointSeconds: integerField({
    description: 'Seconds after which new records of a tenant are covered by a checkpoint.',
    minimum: 1,
    maximum: 3_600,
    default: 5,
  }),
  gapSeconds: integerField({
    description: "Seconds after which a gap in a producer's numbers is an alarm.",
    minimum: 1,
    maximum: 600,
    default: 3,
  }),
  streamReplicas: integerField({
    description: 'Copies of the stream AUDIT in the NATS cluster.',
    minimum: 1,
    maximum: 5,
    default: 1,
  }),
  siemDurables: textField({
    description: 'Durables that are kept on the stream AUDIT for SIEMs, separated by commas.',
    pattern: '^[a-z0-9][a-z0-9-]{0,62}(,[a-z0-9][a-z0-9-]{0,62})*$',
    default: 'siem',
  }),
});
export type AuditConfig = Static<typeof auditConfig>;
