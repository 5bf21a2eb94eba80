import { readFileSync } from 'node:fs';
import { connectBus } from '@remit/bus';
import {
  ANY,
  type AuditMessage,
  auditMessage,
  cloudEvent,
  conform,
  type DevFile,
  parseJsonStrict,
  patterns,
} from '@remit/contracts';
import { CliError } from '../error.ts';

const auditEvent = cloudEvent(auditMessage);

/**
 * Hands every record to `show` as it happens, until `signal` aborts. Reads the bus as the operator
 * of the development stack, so it sees records before the ledger has them.
 * Throws CliError `UNREACHABLE`.
 */
export async function tail(
  dev: DevFile,
  show: (message: AuditMessage) => void,
  signal: AbortSignal,
): Promise<void> {
  const operator = dev.nats.users.find(({ name }) => name === 'operator');
  if (!operator) throw new CliError('DEV_FILE_MISSING', 'dev.json names no operator of the bus.');
  const bus = await connectBus({
    url: dev.nats.url,
    user: operator.name,
    seed: readFileSync(operator.seed_file, 'utf8').trim(),
    name: 'remit-tail',
  }).catch((cause) => {
    throw new CliError(
      'UNREACHABLE',
      `The bus at ${dev.nats.url} does not answer. Is "npm start" running?`,
      { cause },
    );
  });
  const subscription = bus.subscribe(patterns.audit(ANY, ANY), (_subject, bytes) => {
    const event = conform(auditEvent, parseJsonStrict(Buffer.from(bytes).toString('utf8')));
    show(event.data);
  });
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  subscription.stop();
  await bus.close();
}
