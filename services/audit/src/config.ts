import {
  baseConfig,
  configSchema,
  integerField,
  pathField,
  secretField,
  textField,
  urlField,
} from '@remit/service-kit';
import { type Static, Type } from 'typebox';

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
  anchorSeconds: integerField({
    description: 'Seconds between the rounds in which new checkpoints are brought to the anchors.',
    minimum: 1,
    maximum: 86_400,
    default: 10,
  }),
  s3Endpoint: Type.Optional(
    urlField({
      description: 'S3-compatible object store that keeps checkpoints; without it there is none.',
      schemes: ['https:', 'http:'],
    }),
  ),
  s3Bucket: textField({ description: 'Bucket of the checkpoints.', default: 'remit-checkpoints' }),
  s3Prefix: textField({
    description: 'Folder in the bucket, without slashes at its ends.',
    pattern: '^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$',
    default: 'checkpoints',
  }),
  s3Region: textField({ description: 'Region of the object store.', default: 'us-east-1' }),
  s3AccessKeyId: Type.Optional(
    textField({ description: 'Access key: may put and get, not delete.' }),
  ),
  s3SecretAccessKey: Type.Optional(secretField({ description: 'Its secret.' })),
  witnessesFile: Type.Optional(
    pathField({
      description:
        'Witnesses that cosign checkpoints (C2SP tlog-witness): lines of a submission URL and a verifier key.',
    }),
  ),
  checkpointRecords: integerField({
    description: 'Records of a tenant after which a checkpoint is signed, at most one a second.',
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
  retentionDays: integerField({
    description:
      'Days for which records are kept before only their leaf hashes are left; 0 keeps them for ever.',
    minimum: 0,
    maximum: 36_500,
    default: 0,
  }),
  valuePolicyFile: Type.Optional(
    pathField({
      description:
        'What is kept of personal values, by tenant (or *) and field: keep, commit or drop. Without it all are kept.',
    }),
  ),
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
