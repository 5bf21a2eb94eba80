import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Label values of one sample. Values come from closed sets: routes, methods, codes; never ids. */
export type Labels = Readonly<Record<string, string>>;
export type Counter = { add: (labels?: Labels, by?: number) => void };
export type Histogram = { observe: (value: number, labels?: Labels) => void };
/** Read when metrics are scraped: one number, or one per set of labels. */
export type GaugeReader = () => number | readonly { labels: Labels; value: number }[];

export type Metrics = {
  counter: (name: string, help: string) => Counter;
  histogram: (name: string, help: string, buckets?: readonly number[]) => Histogram;
  gauge: (name: string, help: string, read: GaugeReader) => void;
  /** The Prometheus text format, version 0.0.4. */
  text: () => string;
  /** Names of all metrics. */
  names: () => string[];
  stop: () => void;
};

const NAME = /^remit_[a-z0-9_]+$/;
/** Seconds. */
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
/** A runaway label cannot fill the memory. */
const MAX_SERIES = 2_000;

type Series = { labels: string; value: number };
type Buckets = { labels: string; counts: number[]; sum: number; count: number };

/**
 * A registry of counters, histograms and gauges, written by hand: the OpenTelemetry SDK with its
 * Prometheus exporter costs 130 ms and 10 MB of every process start and gives nothing more here.
 */
export function createMetrics(options: { service: string; version: string }): Metrics {
  const families = new Map<string, () => string[]>();

  function register(name: string, help: string, type: string, lines: () => string[]): void {
    if (!NAME.test(name) || families.has(name))
      throw new Error(`metric name ${name} is not usable`);
    families.set(name, () => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines()]);
  }

  const metrics: Metrics = {
    counter: (name, help) => {
      const series = new Map<string, Series>();
      register(name, help, 'counter', () =>
        [...series.values()].map(({ labels, value }) => `${name}${braces(labels)} ${value}`),
      );
      return {
        add: (labels = {}, by = 1) => {
          const entry = seriesOf(series, labels, (key) => ({ labels: key, value: 0 }));
          if (entry) entry.value += by;
        },
      };
    },
    histogram: (name, help, buckets = LATENCY_BUCKETS) => {
      const series = new Map<string, Buckets>();
      register(name, help, 'histogram', () =>
        [...series.values()].flatMap((entry) => histogramLines(name, buckets, entry)),
      );
      return {
        observe: (value, labels = {}) => {
          const entry = seriesOf(series, labels, (key) => ({
            labels: key,
            counts: buckets.map(() => 0),
            sum: 0,
            count: 0,
          }));
          if (!entry) return;
          entry.sum += value;
          entry.count += 1;
          const at = buckets.findIndex((bound) => value <= bound);
          if (at >= 0) entry.counts[at] = (entry.counts[at] ?? 0) + 1;
        },
      };
    },
    gauge: (name, help, read) => {
      register(name, help, 'gauge', () => {
        const value = read();
        if (typeof value === 'number') return [`${name} ${value}`];
        return value.map((entry) => `${name}${braces(labelText(entry.labels))} ${entry.value}`);
      });
    },
    text: () => `${[...families.values()].flatMap((lines) => lines()).join('\n')}\n`,
    names: () => [...families.keys()],
    stop: () => delay.disable(),
  };

  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  metrics.gauge('remit_build_info', 'The running service and its version.', () => [
    { labels: { service: options.service, version: options.version }, value: 1 },
  ]);
  metrics.gauge(
    'remit_event_loop_lag_seconds',
    '99th percentile of event loop delay since the last scrape.',
    () => {
      const seconds = delay.percentile(99) / 1e9;
      delay.reset();
      return Number.isFinite(seconds) ? seconds : 0;
    },
  );
  metrics.gauge('remit_process_resident_memory_bytes', 'Resident memory.', () =>
    process.memoryUsage.rss(),
  );
  metrics.gauge('remit_process_uptime_seconds', 'Time since the process started.', () =>
    process.uptime(),
  );
  return metrics;
}

function seriesOf<T>(series: Map<string, T>, labels: Labels, make: (key: string) => T) {
  const key = labelText(labels);
  let entry = series.get(key);
  if (!entry && series.size < MAX_SERIES) {
    entry = make(key);
    series.set(key, entry);
  }
  return entry;
}

function histogramLines(name: string, buckets: readonly number[], entry: Buckets): string[] {
  const prefix = entry.labels === '' ? '' : `${entry.labels},`;
  let total = 0;
  const lines = buckets.map((bound, i) => {
    total += entry.counts[i] ?? 0;
    return `${name}_bucket{${prefix}le="${bound}"} ${total}`;
  });
  return [
    ...lines,
    `${name}_bucket{${prefix}le="+Inf"} ${entry.count}`,
    `${name}_sum${braces(entry.labels)} ${entry.sum}`,
    `${name}_count${braces(entry.labels)} ${entry.count}`,
  ];
}

function labelText(labels: Labels): string {
  return Object.keys(labels)
    .toSorted()
    .map((key) => `${key}="${escapeLabel(labels[key] as string)}"`)
    .join(',');
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}

function braces(labels: string): string {
  return labels === '' ? '' : `{${labels}}`;
}
