import type { Bus } from '@remit/bus';
import type { Recorder } from '@remit/recorder';
import type { Metrics } from '../process/metrics.ts';
import { toWireError } from '../wire.ts';

/** The bus with its calls counted; everything else is the same. */
export function countCalls(bus: Bus, metrics: Metrics): Bus {
  const called = metrics.counter(
    'remit_rpc_called_total',
    'Requests to other services by outcome.',
  );
  const seconds = metrics.histogram(
    'remit_rpc_call_seconds',
    'Time until another service answered.',
  );
  const reconnects = metrics.counter('remit_bus_reconnects_total', 'Times the bus came back.');
  metrics.gauge('remit_bus_connected', '1 while the bus is connected.', () =>
    bus.status() === 'connected' ? 1 : 0,
  );
  let away = false;
  bus.onStatus((status) => {
    if (status === 'connected' && away) reconnects.add();
    away = status !== 'connected';
  });
  return {
    ...bus,
    call: async (method, tenant, body, options) => {
      const started = performance.now();
      try {
        const answer = await bus.call(method, tenant, body, options);
        called.add({ method, outcome: 'ok' });
        return answer;
      } catch (error) {
        called.add({ method, outcome: codeOf(error) });
        throw error;
      } finally {
        seconds.observe((performance.now() - started) / 1_000, { method });
      }
    },
  };
}

type Handler = (context: never, body: never) => unknown;

/** Handlers with their calls counted and their errors turned into what may be answered. */
export function countServed<H extends Record<string, unknown>>(
  callee: string,
  handlers: H,
  metrics: Metrics,
): H {
  const served = metrics.counter('remit_rpc_served_total', 'Requests answered by outcome.');
  const seconds = metrics.histogram(
    'remit_rpc_serve_seconds',
    'Time until a request was answered.',
  );
  const wrapped = Object.entries(handlers).map(([name, handler]) => {
    const method = `${callee}.${name}`;
    const run = async (context: never, body: never): Promise<unknown> => {
      const started = performance.now();
      try {
        const answer = await (handler as Handler)(context, body);
        served.add({ method, outcome: 'ok' });
        return answer;
      } catch (error) {
        const wire = toWireError(error);
        served.add({ method, outcome: wire.code });
        throw wire;
      } finally {
        seconds.observe((performance.now() - started) / 1_000, { method });
      }
    };
    return [name, run];
  });
  return Object.fromEntries(wrapped) as H;
}

/** The recorder with its records counted by where they are. */
export function countRecords(recorder: Recorder, metrics: Metrics): Recorder {
  const records = metrics.counter('remit_records_total', 'Audit records by where they were kept.');
  return {
    ...recorder,
    record: async (tenant, input) => {
      try {
        const kept = await recorder.record(tenant, input);
        records.add({ home: kept.home });
        return kept;
      } catch (error) {
        records.add({ home: 'none' });
        throw error;
      }
    },
  };
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : 'unknown';
}
