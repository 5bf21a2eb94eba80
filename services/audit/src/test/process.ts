import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { variableName } from '@remit/service-kit';
import type { TestInfra } from '@remit/testkit';
import type { AuditConfig } from '../config.ts';

const MAIN = join(import.meta.dirname, '../main.ts');

/** The service as a process of its own, so that it can be killed. */
export type AuditProcess = AsyncDisposable & {
  readonly child: ChildProcess;
  /** What it has logged. */
  log(): Record<string, unknown>[];
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
};

/** The configuration of a test's audit service, with defaults as in production. */
export function processConfig(infra: TestInfra, changes: Partial<AuditConfig> = {}): AuditConfig {
  return {
    ...infra.serviceConfig('audit', 'http://audit.test'),
    busSignerFile: infra.keys.signerFile('audit-bus'),
    checkpointSignerFile: infra.keys.signerFile('audit-checkpoint'),
    checkpointDir: join(infra.tmpDir, 'checkpoints'),
    anchorSeconds: 10,
    s3Bucket: 'remit-checkpoints',
    s3Prefix: 'checkpoints',
    s3Region: 'us-east-1',
    checkpointRecords: 256,
    checkpointSeconds: 5,
    retentionDays: 0,
    gapSeconds: 3,
    streamReplicas: 1,
    siemDurables: 'siem',
    logLevel: 'info',
    ...changes,
  };
}

/** Starts main.ts and resolves when it says that it is started. */
export async function startAudit(config: AuditConfig): Promise<AuditProcess> {
  const env = Object.fromEntries(
    Object.entries(config).map(([field, value]) => [variableName(field), String(value)]),
  );
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const started = Promise.withResolvers<void>();
  const hear = (chunk: Buffer): void => {
    text += chunk.toString();
    if (text.includes('audit is started')) started.resolve();
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  child.once('exit', () => started.reject(new Error(`audit did not start: ${text}`)));
  const kill = async (): Promise<void> => {
    const gone = child.exitCode !== null || child.signalCode !== null;
    if (gone) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };
  await started.promise;
  return {
    child,
    kill,
    log: () =>
      text
        .split('\n')
        .slice(0, -1)
        .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line)] : [])),
    [Symbol.asyncDispose]: kill,
  };
}
