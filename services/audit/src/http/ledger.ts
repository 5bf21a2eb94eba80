import { closed } from '@remit/contracts';
import {
  type Checkpoint,
  formatVkey,
  inclusionProof,
  openCheckpoint,
  type VerifierKey,
} from '@remit/ledger';
import { type Database, type Metrics, tenantParam, wireError } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import type { Checkpointer } from '../checkpoint/checkpointer.ts';
import type { CheckpointKeys } from '../checkpoint/keys.ts';
import type { OutsideStore } from '../checkpoint/outside.ts';
import { newestCheckpoint } from '../store/checkpoints.ts';
import { recordsById } from '../store/read.ts';
import type { AuditTables } from '../store/tables.ts';
import { hashReader } from '../store/tree.ts';
import { verifyTenant } from '../store/verify.ts';
import type { Guard } from './guard.ts';
import { type IdParams, idParams } from './records.ts';

const params = closed({ tenant: tenantParam });

export type LedgerRouteOptions = {
  database: Database<AuditTables>;
  guard: Guard;
  keys: CheckpointKeys;
  outside: OutsideStore;
  checkpointer: Checkpointer;
  metrics: Metrics;
};

/** `GET /t/:tenant/verify`, `/checkpoint` and `/records/:id/proof`. Only for auditors. */
export function ledgerRoutes(http: FastifyInstance, options: LedgerRouteOptions): void {
  const { database, guard, keys, outside, checkpointer, metrics } = options;
  const verified = metrics.counter(
    'remit_audit_verified_total',
    'Verifications of a ledger, by outcome.',
  );
  /** Tenants whose ledger is being read through: it takes a while, so one at a time. */
  const verifying = new Set<string>();

  http.get('/t/:tenant/verify', { schema: { params } }, async (request) => {
    const tenant = await guard.enter(request);
    if (verifying.has(tenant)) throw wireError('OVERLOADED');
    verifying.add(tenant);
    try {
      const kept = await outside.read(tenant);
      const report = await database.withTenant(
        tenant,
        (trx) =>
          verifyTenant(trx, tenant, {
            origin: keys.origin(tenant),
            verifiers: keys.verifiers(tenant),
            outside: kept,
          }),
        { isolation: 'repeatable read', readOnly: true },
      );
      const [fault] = report.faults;
      verified.add({ outcome: fault?.kind ?? 'ok' });
      return {
        ok: report.ok,
        size: report.size,
        root: Buffer.from(report.root).toString('base64'),
        confirmed: report.confirmed,
        checkpoints: report.checkpoints,
        fault: fault ?? null,
        faults: report.faults,
      };
    } finally {
      verifying.delete(tenant);
    }
  });

  http.get('/t/:tenant/checkpoint', { schema: { params } }, async (request) => {
    const tenant = await guard.enter(request);
    const found = await newest(tenant);
    if (found === undefined) throw wireError('NOT_FOUND');
    return present(tenant, found.note, found.checkpoint);
  });

  http.get<{ Params: IdParams }>(
    '/t/:tenant/records/:id/proof',
    { schema: { params: idParams } },
    async (request) => {
      const { id } = request.params;
      const tenant = await guard.enter(request, { id });
      const [record] = await database.withTenant(tenant, (trx) => recordsById(trx, tenant, id), {
        readOnly: true,
      });
      if (record === undefined) throw wireError('NOT_FOUND');
      let head = await newest(tenant);
      if (head === undefined || head.checkpoint.size < record.seq) {
        await checkpointer.run(tenant);
        head = await newest(tenant);
      }
      if (head === undefined || head.checkpoint.size < record.seq) throw wireError('UNAVAILABLE');
      const { note, checkpoint } = head;
      const index = record.seq - 1;
      const proof = await database.withTenant(
        tenant,
        (trx) => inclusionProof(hashReader(trx, tenant), index, checkpoint.size),
        { readOnly: true },
      );
      return {
        ...present(tenant, note, checkpoint),
        seq: record.seq,
        index,
        /** The exact bytes that were hashed. */
        bytes: record.bytes.toString('base64'),
        leaf_hash: record.leafHash.toString('base64'),
        proof: proof.map((hash) => Buffer.from(hash).toString('base64')),
      };
    },
  );

  async function newest(
    tenant: string,
  ): Promise<{ note: string; checkpoint: Checkpoint } | undefined> {
    const found = await database.withTenant(tenant, (trx) => newestCheckpoint(trx, tenant), {
      readOnly: true,
    });
    if (found === undefined) return undefined;
    const expected = { origin: keys.origin(tenant), verifiers: keys.verifiers(tenant) };
    return { note: found.note, checkpoint: openCheckpoint(found.note, expected) };
  }

  function present(tenant: string, note: string, { origin, size, root }: Checkpoint) {
    const vkeys = keys.vkeys(tenant).map((key: VerifierKey) => formatVkey(key));
    return { origin, size, root: Buffer.from(root).toString('base64'), note, vkeys };
  }
}
