import { mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Bus, connectBus, createSigner, createVerifier, type Signer } from '@remit/bus';
import { type AuditMark, SIGNED, streams, subjects } from '@remit/contracts';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRecorder } from './recorder.ts';

let infra: TestInfra;
let audit: Bus;
let signer: Signer;
beforeAll(async () => {
  infra = await testInfra();
  audit = await connectBus({ url: infra.natsUrl, name: 'audit', ...infra.creds('audit') });
  await audit.ensureStream(streams.AUDIT);
  signer = createSigner(infra.signer('audit-bus'));
});
afterAll(async () => {
  await audit.close();
  await infra[Symbol.asyncDispose]();
});

describe('a record', () => {
  it('leaves the spool when a mark has passed it', async () => {
    await using bus = await connectBus({
      url: infra.natsUrl,
      name: 'pep',
      ...infra.pepCreds('acme', 'erp-1'),
    });
    const spoolDir = mkdtempSync(join(infra.tmpDir, 'spool-'));
    const recorder = createRecorder({
      bus,
      producer: { service: 'erp-1', instance: 'i', version: '1' },
      spoolDir,
      markVerifier: createVerifier(signer.publicJwks()),
    });
    const { home } = await recorder.record('acme', {
      event: 'decision',
      decision: 'allow',
      reason: 'permitted',
      principal: 'alice',
    });
    expect(home).toBe('bus');
    expect(recorder.stats().pending).toBe(1);
    const mark: AuditMark = {
      tenant: 'acme',
      producer: 'erp-1',
      time: 1,
      marks: [{ boot: recorder.stats().boot, n: 1 }],
    };
    audit.publish(
      subjects.auditMark('acme', 'erp-1'),
      signer.sign(SIGNED.mark, JSON.stringify(mark)),
    );
    await expect.poll(() => recorder.stats().pending).toBe(0);
    await recorder.close();
    expect(readdirSync(spoolDir)).toEqual([]);
  });
});
