import type { Fetch } from '@remit/service-kit';
import type { CheckpointKeys } from '../checkpoint/keys.ts';
import type { AuditConfig } from '../config.ts';
import { AuditError } from '../error.ts';
import type { Anchor } from './anchor.ts';
import { objectStoreAnchor } from './object-store.ts';
import { readWitnesses, witnessAnchor } from './witness.ts';

/**
 * The anchors that the configuration names, beside the folder of checkpoints, which is written before
 * a checkpoint counts as signed. Throws AuditError `ANCHOR_FAILED` for half a configuration.
 */
export function openAnchors(
  config: AuditConfig,
  keys: CheckpointKeys,
  fetch: Fetch = globalThis.fetch,
): Anchor[] {
  const { s3Endpoint, s3Bucket, s3Prefix, s3Region, s3AccessKeyId, s3SecretAccessKey } = config;
  const anchors: Anchor[] = [];
  if (s3Endpoint !== undefined) {
    if (s3AccessKeyId === undefined || s3SecretAccessKey === undefined) {
      throw new AuditError(
        'ANCHOR_FAILED',
        'REMIT_S3_ENDPOINT needs REMIT_S3_ACCESS_KEY_ID and REMIT_S3_SECRET_ACCESS_KEY.',
      );
    }
    const store = {
      endpoint: s3Endpoint,
      bucket: s3Bucket,
      prefix: s3Prefix,
      region: s3Region,
      accessKeyId: s3AccessKeyId,
      secretAccessKey: s3SecretAccessKey,
    };
    anchors.push(objectStoreAnchor(store, keys));
  }
  if (config.witnessesFile !== undefined) {
    const witnesses = readWitnesses(config.witnessesFile);
    anchors.push(...witnesses.map((witness) => witnessAnchor(witness, fetch)));
  }
  return anchors;
}
