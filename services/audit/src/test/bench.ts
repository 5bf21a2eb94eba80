import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectBus, createVerifier } from '@remit/bus';
import { type AuditMark, SIGNED, streams, subjects } from '@remit/contracts';
import { emptyEdge, inclusionProof, leafHash } from '@remit/ledger';
import { createRecorder } from '@remit/recorder';
import { type TestServers, testInfra } from '@remit/testkit';
import pg from 'pg';
import { findRecords, type RecordQuery } from '../store/read.ts';
import { hashReader } from '../store/tree.ts';
import { verifyTenant } from '../store/verify.ts';
import { copyInto, fillTenant, RECORD_COLUMNS, VALUE_COLUMNS } from './fill.ts';
import { largeLedger } from './large.ts';
import { decision, messageOf } from './messages.ts';
import { processConfig, startAudit } from './process.ts';

// What test/bench measures of the ledger; here, because it is made of the service's own parts.

const TENANT = 'acme';
const COPIED_AT_ONCE = 1_000;

/** The service's database and bus, and a producer on it. */
async function stage(servers: TestServers) {
  const cleanup = new AsyncDisposableStack();
  cleanup.defer(() => servers.close());
  const infra = cleanup.use(await testInfra({ servers, services: ['audit'] }));
  const config = processConfig(infra, { checkpointDir: join(infra.tmpDir, 'checkpoints') });
  const audit = await connectBus({ url: infra.natsUrl, ...infra.creds('audit'), name: 'declare' });
  await audit.ensureStream(streams.AUDIT);
  await audit.close();
  const issuer = cleanup.use(
    await connectBus({ url: infra.natsUrl, ...infra.creds('issuer'), name: 'bench' }),
  );
  const owner = new pg.Client({ connectionString: infra.ownerUrl('audit') });
  await owner.connect();
  cleanup.defer(() => owner.end());
  for (const table of ['records', 'disclosures']) {
    await owner.query(`alter table ${table} no force row level security`);
  }
  let copies = 0;
  /** Microseconds per record of COPY into a tenant that is not the service's. */
  const copy = async (count: number): Promise<number> => {
    const filling = fillTenant(`copy-${++copies}`, emptyEdge, Date.now());
    let tookMs = 0;
    for (let done = 0; done < count; done += COPIED_AT_ONCE) {
      const lines = filling.lines(Math.min(COPIED_AT_ONCE, count - done));
      const startedMs = performance.now();
      await copyInto(owner, `records (${RECORD_COLUMNS})`, lines.records);
      await copyInto(owner, `disclosures (${VALUE_COLUMNS})`, lines.disclosures);
      tookMs += performance.now() - startedMs;
    }
    return (tookMs * 1_000) / count;
  };
  const verifier = createVerifier(infra.trust().keys.audit_mark);
  return { cleanup, infra, config, issuer, owner, copy, verifier };
}

/** A stream full of records, and how long the service takes to bring them in. */
export async function createDrain(servers: TestServers, count: number) {
  const { cleanup, config, issuer, copy, verifier } = await stage(servers);
  let runs = 0;
  const subject = async (): Promise<number> => {
    const boot = `drain-${++runs}`;
    const messages = Array.from({ length: count }, (_, i) =>
      messageOf(decision(i + 1, { producer: producerOf(boot, i + 1) })),
    );
    for (let i = 0; i < count; i += 500) {
      await Promise.all(
        messages
          .slice(i, i + 500)
          .map(({ subject: to, data }) => issuer.publishRecord(to, data, crypto.randomUUID())),
      );
    }
    const passed = Promise.withResolvers<number>();
    let first: { n: number; atMs: number } | undefined;
    const subscription = issuer.subscribe(subjects.auditMark(TENANT, 'issuer'), (_, bytes) => {
      const mark = JSON.parse(
        Buffer.from(verifier.verify(SIGNED.mark, bytes)).toString(),
      ) as AuditMark;
      const n = mark.marks.find((one) => one.boot === boot)?.n ?? 0;
      first ??= { n, atMs: performance.now() };
      if (n < count) return;
      passed.resolve(((performance.now() - first.atMs) * 1_000) / (n - first.n));
    });
    await using _service = await startAudit(config);
    const us = await passed.promise;
    subscription.stop();
    return us;
  };
  return { subject, baseline: () => copy(count), close: () => cleanup.disposeAsync() };
}

/** Records that come all the time through a recorder. Nothing may be lost, and memory stays flat. */
export async function createSteady(
  servers: TestServers,
  perSecond: number,
  breathe: () => Promise<void>,
) {
  const { cleanup, infra, config, issuer, owner, copy, verifier } = await stage(servers);
  const service = cleanup.use(await startAudit(config));
  const recorder = createRecorder({
    bus: issuer,
    producer: { service: 'issuer', instance: 'i1', version: '0.1.0' },
    spoolDir: join(infra.tmpDir, 'spool-issuer'),
    markVerifier: verifier,
  });
  const residentMb = (): number => {
    const status = readFileSync(`/proc/${service.child.pid}/status`, 'utf8');
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1_024);
  };
  const memory: number[] = [];
  let made = 0;
  const subject = async (): Promise<number> => {
    const startedMs = performance.now();
    const writing: Promise<unknown>[] = [];
    for (let i = 1; i <= perSecond; i++) {
      writing.push(
        recorder.record(TENANT, {
          event: 'decision',
          decision: 'allow',
          reason: 'permitted',
          principal: `user-${i % 50}`,
          actor: 'procurement-agent',
          operation: { action: 'suppliers.read', resource: `erp/suppliers/S-${i}` },
        }),
      );
      if (i % 50 === 0)
        while (performance.now() - startedMs < (i * 1_000) / perSecond) await breathe();
    }
    await Promise.all(writing);
    made += perSecond;
    const sentMs = performance.now();
    const target = made;
    while (recorder.stats().marked < target) await breathe();
    memory.push(residentMb());
    return (performance.now() - Math.min(sentMs, startedMs + 1_000)) * 1_000;
  };
  return {
    subject,
    baseline: async () => (await copy(perSecond)) * perSecond,
    async close() {
      const { pending, refused } = recorder.stats();
      await owner.query(`select set_config('remit.tenant', '${TENANT}', false)`);
      const { rows } = await owner.query(
        'select count(*)::int as rows, max(seq)::int as seq from records where tenant = $1',
        [TENANT],
      );
      const { rows: kept, seq } = rows[0] as { rows: number; seq: number };
      process.stderr.write(
        `${made} made, ${refused} refused, ${kept} rows up to ${seq}, ${pending} waiting; the service's memory by second: ${memory.join(' ')} MB\n`,
      );
      await recorder.close();
      await cleanup.disposeAsync();
      if (kept !== made || seq !== made) throw new Error('records were lost or doubled');
    },
  };
}

const producerOf = (boot: string, n: number) => ({
  service: 'issuer',
  instance: 'i1',
  version: '0.1.0',
  boot,
  n,
});

export type LedgerAnswers = Awaited<ReturnType<typeof openAnswers>>;

/** A filled ledger and what is asked of it, as the service asks. */
export async function openAnswers(servers: TestServers, size: number) {
  const startedMs = performance.now();
  const large = await largeLedger(size, { servers });
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  process.stderr.write(`${size} records filled in ${seconds} s\n`);
  const { database } = large;
  const any = (limit: number): number => 1 + Math.floor(Math.random() * limit);
  const read = <T>(fn: Parameters<typeof database.withTenant<T>>[1]): Promise<T> =>
    database.withTenant(TENANT, fn, { readOnly: true });
  const filters: Record<string, () => Partial<RecordQuery>> = {
    task: () => ({ task: `task_${any(19_999)}` }),
    agent: () => ({ agent: `agent-${any(39)}` }),
    user: () => ({ user: `user-${any(999)}` }),
    reason: () => ({ reason: 'task_scope' }),
    resource: () => ({ resource: `erp/suppliers/S-${any(4_999)}` }),
    time: () => {
      const seq = any(Math.max(1, size - 3_000));
      return { from: large.timeOf(seq), to: large.timeOf(seq + 3_000) };
    },
  };
  return {
    query: (filter: string) =>
      read((trx) => findRecords(trx, TENANT, { ...filters[filter]?.(), limit: 50 })),
    rows: () => {
      const before = 50 + any(size - 50);
      return read((trx) => findRecords(trx, TENANT, { before, limit: 50 }));
    },
    row: () => read((trx) => findRecords(trx, TENANT, { before: 1 + any(size), limit: 1 })),
    proof: () => read((trx) => inclusionProof(hashReader(trx, TENANT), any(size) - 1, size)),
    async verify(): Promise<number> {
      const begunMs = performance.now();
      const report = await database.withTenant(
        TENANT,
        (trx) => verifyTenant(trx, TENANT, { origin: 'bench', verifiers: [], outside: [] }),
        { isolation: 'repeatable read', readOnly: true },
      );
      if (!report.ok || report.size !== size) throw new Error(JSON.stringify(report.faults));
      return ((performance.now() - begunMs) * 1_000) / size;
    },
    async readAll(): Promise<number> {
      const begunMs = performance.now();
      await read(async (trx) => {
        for (let after = 0; after < size; after += 500) {
          const rows = await trx
            .selectFrom('records')
            .select('bytes')
            .where('tenant', '=', TENANT)
            .where('seq', '>', after)
            .orderBy('seq')
            .limit(500)
            .execute();
          for (const { bytes } of rows) leafHash(bytes);
        }
      });
      return ((performance.now() - begunMs) * 1_000) / size;
    },
    async close() {
      await large[Symbol.asyncDispose]();
      await servers.close();
    },
  };
}
