import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connectBus } from '@remit/bus';
import { audienceOf, signInAs } from '@remit/cli';
import { type AuditMessage, canonicalText, makeCloudEvent, subjects } from '@remit/contracts';
import pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Stage, summaryOf } from '../stage.ts';

const run = promisify(execFile);

/** What somebody with the database, the bus or an export can do to the ledger of a running deployment. */
export function ledger(at: () => Stage): void {
  let stage: Stage;
  let auditor: string;
  let administrator: string;
  beforeAll(async () => {
    stage = at();
    const audience = audienceOf(stage.demo.dev, 'audit');
    auditor = (await signInAs(stage.demo.dev, 'erin', audience)).accessToken;
    administrator = (await signInAs(stage.demo.dev, 'dora', audience)).accessToken;
  });

  const url = (path: string) => `${stage.demo.stack.urls['audit']}/t/acme${path}`;
  const get = (path: string) =>
    fetch(url(path), { headers: { authorization: `Bearer ${auditor}` } });
  const exported = async (query = '') => {
    const response = await get(`/export${query}`);
    const text = await response.text();
    expect(response.status, text).toBe(200);
    return text;
  };
  const post = (path: string, body: unknown) =>
    fetch(url(path), {
      method: 'POST',
      headers: { authorization: `Bearer ${administrator}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  /** As an auditor does it: `remit verify` on a file, with the trust file and nothing else. */
  async function verifyFile(text: string): Promise<{ ok: boolean; said: string }> {
    const dir = mkdtempSync(join(tmpdir(), 'remit-export-'));
    const file = join(dir, 'export.ndjson');
    writeFileSync(file, text, { mode: 0o600 });
    const main = join(import.meta.dirname, '../../../packages/cli/src/main.ts');
    const trust = stage.demo.dev.trust_file;
    try {
      const { stdout } = await run(process.execPath, [main, 'verify', file, '--trust', trust]);
      return { ok: true, said: stdout };
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      return { ok: false, said: stdout + stderr };
    } finally {
      rmSync(dir, { recursive: true });
    }
  }

  describe('the database', () => {
    test('row 63: what is edited, deleted, moved or cut off is named by the service and by an export', async () => {
      await summaryOf(stage);
      const client = new pg.Client(stage.demo.stack.superuserUrl('remit'));
      await client.connect();
      try {
        const whole = await verifyFile(await exported());
        expect(whole.said).toMatch(/^OK {2}\S+\/acme: all \d+ records\n/);
        const verify = async () =>
          (await (await get('/verify')).json()) as {
            fault: { kind: string } | null;
          };
        const where = "where tenant = 'acme'";
        const forge = `update audit.records set bytes = convert_to(replace(convert_from(bytes,
          'UTF8'), '"v":1', '"v": 1'), 'UTF8') ${where} and seq = 2`;
        for (const [change, kind] of [
          [forge, /edit/],
          [
            `${forge}; update audit.records set leaf_hash = sha256('\\x00'::bytea || bytes) ${where} and seq = 2`,
            /edit/,
          ],
          [`delete from audit.records ${where} and seq = 3`, /delete/],
          [
            `update audit.records set seq = seq + 1000000 ${where} and seq in (3, 4);
             update audit.records set seq = case seq when 1000003 then 4 else 3 end
             ${where} and seq in (1000003, 1000004)`,
            /reorder/,
          ],
          [`delete from audit.records ${where} and seq > 4`, /truncation|delete/],
        ] as const) {
          // One change at a time; the backup is what it is put back from.
          await client.query('create table audit.kept as select * from audit.records');
          try {
            await client.query(change);
            const [own, file] = [await verify(), await exported()];
            expect(own.fault?.kind, change).toMatch(kind);
            expect((await verifyFile(file)).said, change).toMatch(/^NOT OK/);
          } finally {
            await client.query(`delete from audit.records r using audit.kept k
              where r.tenant = k.tenant and r.id = k.id and r.producer = k.producer`);
            await client.query('insert into audit.records select * from audit.kept');
            await client.query('drop table audit.kept');
          }
        }
        expect((await verify()).fault).toBeNull();
      } finally {
        await client.end();
      }
    }, 60_000);
  });

  describe('the bus', () => {
    test('row 57: another content under a known id is kept beside the first, and never in its place', async () => {
      const [line] = await stage.world.ledger.lines({ event: 'token.issued' });
      if (line === undefined) throw new Error('no token was issued');
      const { record } = line;
      const bus = await connectBus({
        url: stage.demo.dev.nats.url,
        user: 'issuer',
        seed: readFileSync(stage.demo.stack.bus.seedFile('issuer'), 'utf8').trim(),
        name: 'thief',
      });
      try {
        const forged: AuditMessage = { record: { ...record, decision: 'deny' }, disclosures: {} };
        const { id, time, tenant, event } = record;
        const message = canonicalText(
          makeCloudEvent(`audit.${event}`, { id, source: 'urn:remit:issuer', time }, forged),
        );
        const subject = subjects.audit(tenant, 'issuer', event);
        await bus.publishRecord(subject, Buffer.from(message), `other-${id}`);
        const metrics = async () =>
          (await fetch(`${stage.demo.stack.urls['audit']}/metrics`)).text();
        await stage.world.until(async () =>
          /remit_audit_conflicts_total\S* 1/.test(await metrics()),
        );
        expect(await stage.rows(['audit.conflicts'])).toEqual([1]);
        expect(await stage.world.ledger.line(id)).toMatchObject({ decision: 'allow' });
      } finally {
        await bus.close();
      }
    });
  });

  describe('what is asked and answered', () => {
    test('row 64: an export is one line for each record, and no cell of it is a formula', async () => {
      const csv = await exported('?format=csv');
      const lines = csv.split('\r\n');
      expect(lines.length).toBeGreaterThan(3);
      for (const line of lines) {
        expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
        for (const [, cell = ''] of line.matchAll(/"((?:[^"]|"")*)"/g))
          expect(cell).not.toMatch(/^\s*[=+@-]/);
      }
    });

    test('row 65: exports, tasks, holds and erasures take values, never SQL', async () => {
      const [before = 0] = await stage.rows(['audit.disclosures']);
      const sql = "' or '1'='1";
      for (const name of ['task', 'user', 'agent', 'resource', 'token', 'reason']) {
        const response = await get(`/export?${name}=${encodeURIComponent(sql)}`);
        expect(response.status, name).toBe(200);
        expect(await response.text(), name).toContain('{"end":{"records":0,"leaves":0}}');
      }
      for (const path of [
        `/tasks/${encodeURIComponent(sql)}`,
        '/export?from=-1',
        '/export?limit=1e9',
        '/tasks/%00',
      ]) {
        expect((await get(path)).status, path).toBe(400);
      }
      expect(await (await post('/erasures', { user: sql })).json()).toEqual({
        records: 0,
        values: 0,
      });
      expect((await post('/erasures', { record: sql })).status).toBe(400);
      expect((await post('/holds', { user: { $ne: '' }, reason: 'x' })).status).toBe(400);
      const [after = 0] = await stage.rows(['audit.disclosures']);
      expect(after).toBeGreaterThanOrEqual(before);
    });

    test('row 70: an export holds no token, key or seed', async () => {
      const { token } = await summaryOf(stage);
      const text = (await exported()) + (await exported('?format=csv'));
      expect(text).not.toContain(token.split('.')[2]);
      expect(text).not.toMatch(/eyJ[A-Za-z0-9_-]{20,}\.|PRIVATE KEY|\bS[UA][A-Z2-7]{56}\b/);
    });
  });
}
