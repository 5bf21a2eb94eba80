import { baseConfig, configSchema, integerField, pathField } from '@remit/service-kit';
import type { Static } from 'typebox';
import { MIN_USE_RETENTION_SECONDS } from './domain/lifetimes.ts';

/** Configuration of the revocation service; every field is `REMIT_` and its name in capitals. */
export const revocationConfig = configSchema({
  ...baseConfig,
  busSignerFile: pathField({
    description: 'Signer file of the feed: events, beats and answers.',
  }),
  statusSignerFile: pathField({ description: 'Signer file of the status lists.' }),
  statusListBits: integerField({
    description: 'Entries of a new status list; a power of two.',
    minimum: 64,
    maximum: 1_048_576,
    default: 131_072,
  }),
  statusTtlSeconds: integerField({
    description: 'How long a verifier may keep a status list before it fetches it again.',
    minimum: 1,
    maximum: 3_600,
    default: 30,
  }),
  useRetentionSeconds: integerField({
    description: 'How long a spent single use is kept after the last token that it was spent with.',
    // Shorter, and a task's next token could spend the use again.
    minimum: MIN_USE_RETENTION_SECONDS,
    maximum: 31_622_400,
    default: 604_800,
  }),
});
export type RevocationConfig = Static<typeof revocationConfig>;
