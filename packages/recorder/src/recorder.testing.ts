import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bus, connectBus, createSigner, createVerifier, type Signer } from '@remit/bus';
import {
  type AuditMark,
  type AuditMessage,
  auditMessage,
  cloudEvent,
  conform,
  SIGNED,
  streams,
  subjects,
} from '@remit/contracts';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { RecordInput } from './record-input.ts';
import { createRecorder, type Recorder, type RecorderOptions } from './recorder.ts';

export const ALLOW: RecordInput = { event: 'decision', decision: 'allow', reason: 'permitted' };
/** Compiled once: a new schema object costs a compilation. */
const EVENT = cloudEvent(auditMessage);

/** What the tests of one file share; set by the hooks of `useRecorder`. */
export let infra: TestInfra;
export let audit: Bus;
export let bus: Bus;
export let spoolDir: string;
export let recorder: Recorder;
let signer: Signer;
/** What the audit service's consumer was given, in order. */
export const stored: { subject: string; text: string; msgId: string | undefined }[] = [];

/** A server, the audit service's side of it, and for each test a PEP's connection and a spool folder. */
export function useRecorder(): void {
  beforeAll(async () => {
    infra = await testInfra();
    signer = createSigner(infra.signer('audit-bus'));
    audit = await connectBus({ url: infra.natsUrl, name: 'audit', ...infra.creds('audit') });
    await audit.ensureStream(streams.AUDIT);
    const reading = { stream: 'AUDIT', durable: 'ingest', consumer: {}, onError: () => {} };
    await audit.consume(reading, async (batch) => {
      for (const { subject, data, msgId } of batch) {
        stored.push({ subject, text: Buffer.from(data).toString(), msgId });
      }
    }).ready;
  });
  afterAll(async () => {
    await audit.close();
    await infra[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    stored.length = 0;
    await reconnect();
    spoolDir = mkdtempSync(join(infra.tmpDir, 'spool-'));
  });
  afterEach(async () => {
    await recorder?.close();
    await bus.close();
  });
}

export async function reconnect(): Promise<void> {
  bus = await connectBus({ url: infra.natsUrl, name: 'pep', ...infra.pepCreds('acme', 'erp-1') });
}

export function open(options: Partial<RecorderOptions> = {}): Recorder {
  recorder = createRecorder({
    bus,
    producer: { service: bus.user, instance: 'i-1', version: '1.0.0' },
    spoolDir,
    markVerifier: createVerifier(infra.trust().keys.audit_mark),
    ...options,
  });
  return recorder;
}

/** The PEP's connection through a proxy that can be cut, frozen and slowed. */
export async function throughProxy(): Promise<
  Awaited<ReturnType<TestInfra['throughProxy']>>['proxy']
> {
  await bus.close();
  const { url, proxy } = await infra.throughProxy(infra.natsUrl);
  bus = await connectBus({ ...infra.pepCreds('acme', 'erp-1'), url, name: 'pep' });
  return proxy;
}

export function sendMark(
  boot: string,
  n: number,
  change: Partial<AuditMark> = {},
  by: Signer = signer,
  typ: (typeof SIGNED)[keyof typeof SIGNED] = SIGNED.mark,
): void {
  const mark: AuditMark = {
    tenant: 'acme',
    producer: 'erp-1',
    time: Date.now(),
    marks: [{ boot, n }],
    ...change,
  };
  audit.publish(subjects.auditMark('acme', 'erp-1'), by.sign(typ, JSON.stringify(mark)));
}

export function messages(): AuditMessage[] {
  return stored.map(({ text }) => conform(EVENT, JSON.parse(text)).data);
}

/** The numbers of what was stored, ascending. */
export function numbers(): number[] {
  return messages()
    .map(({ record }) => record.producer.n)
    .toSorted((a, b) => a - b);
}

/** Everything that lies in the spool. */
export function spooled(): string {
  return readdirSync(spoolDir)
    .filter((name) => name.endsWith('.spool'))
    .map((name) => readFileSync(join(spoolDir, name), 'utf8'))
    .join('');
}
