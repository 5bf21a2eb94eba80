import type { ClaimResponse, ConsumeResponse, RevocationKind } from '@remit/contracts';
import type { Metrics, Outbox } from '@remit/service-kit';
import type { Beats } from './bus/beats.ts';
import type { Observed } from './bus/handlers.ts';
import type { SourceWatch } from './bus/source-watch.ts';
import type { SpenderEvents } from './domain/spender.ts';
import { SOURCES, type Source } from './store/positions.ts';
import type { Tables } from './store/tables.ts';
import type { Forgotten } from './store/upkeep.ts';

/** What the service counts beside what every service counts. */
export type FeedMetrics = Observed & {
  revoked(kind: RevocationKind): void;
  consumed(outcome: ConsumeResponse['outcome'] | 'refused'): void;
  claimed(outcome: ClaimResponse['outcome']): void;
  consumedTogether(items: number): void;
  budgets: SpenderEvents;
  usesForgotten(rows: number): void;
  forgotten(rows: Forgotten): void;
  changed(source: Source, effect: string): void;
  quarantined(source: Source): void;
  beatRefused(source: Source): void;
  listMade(seconds: number): void;
};

export function createFeedMetrics(
  metrics: Metrics,
  parts: { beats: Beats; outbox: Outbox<Tables>; watch: SourceWatch; wentBack: () => number },
): FeedMetrics {
  const { beats, outbox, watch, wentBack } = parts;
  const prefix = 'remit_revocation';
  const revocations = metrics.counter(`${prefix}_revocations_total`, 'Revocations by kind.');
  const checks = metrics.counter(`${prefix}_checks_total`, 'Checks before a decision by outcome.');
  const registrations = metrics.counter(
    `${prefix}_registrations_total`,
    'Registered tokens by whether they were revoked already.',
  );
  const consumptions = metrics.counter(
    `${prefix}_consumptions_total`,
    'Answers to consumptions of single uses by outcome.',
  );
  const reservations = metrics.counter(
    `${prefix}_budget_reservations_total`,
    'Answers to reservations from budgets by outcome.',
  );
  const settlements = metrics.counter(
    `${prefix}_budget_settlements_total`,
    'Commits, releases and expiries of reservations by how the reservation stands.',
  );
  const batches = metrics.counter(
    `${prefix}_consumption_batches_total`,
    'Transactions in which single uses were consumed.',
  );
  const claims = metrics.counter(
    `${prefix}_proofs_claimed_total`,
    'Answers to claims of DPoP proofs by outcome.',
  );
  const forgotten = metrics.counter(
    `${prefix}_uses_forgotten_total`,
    'Spent uses that were deleted, long after their tokens.',
  );
  const tidied = metrics.counter(
    `${prefix}_forgotten_total`,
    'Registrations, status lists and entries that were deleted, long after their tokens.',
  );
  const changes = metrics.counter(
    `${prefix}_source_events_total`,
    'Events of registry and pdp by what they took away.',
  );
  const quarantined = metrics.counter(
    `${prefix}_quarantined_total`,
    'Events that were not believed. Should be 0.',
  );
  const refused = metrics.counter(
    `${prefix}_source_beats_refused_total`,
    'Beats of registry and pdp that were not believed or old.',
  );
  const lists = metrics.histogram(
    `${prefix}_status_list_seconds`,
    'Time to make and sign a status list.',
  );
  metrics.gauge(`${prefix}_leader`, '1 while this replica sends the beats.', () =>
    beats.leading() ? 1 : 0,
  );
  metrics.gauge(`${prefix}_term`, 'The newest term that this replica led.', beats.term);
  metrics.gauge(`${prefix}_beats`, 'Beats since the start by outcome.', () => {
    const { sent, failed, dropped } = beats.stats();
    return [
      { labels: { outcome: 'sent' }, value: sent },
      { labels: { outcome: 'failed' }, value: failed },
      { labels: { outcome: 'dropped' }, value: dropped },
    ];
  });
  metrics.gauge(
    `${prefix}_store_went_back`,
    'Times since the start that the store was found put back and a new epoch begun.',
    wentBack,
  );
  metrics.gauge(`${prefix}_outbox_unsent`, 'Feed events that wait to be sent.', () => {
    return outbox.lag().unsent;
  });
  metrics.gauge(`${prefix}_outbox_age_seconds`, 'Age of the oldest of them.', () => {
    return outbox.lag().oldestSeconds;
  });
  metrics.gauge(`${prefix}_source_late`, '1 while a source is late and stops the beats.', () =>
    SOURCES.map((source) => ({ labels: { source }, value: watch.late(source) === null ? 0 : 1 })),
  );
  metrics.gauge(
    `${prefix}_source_age_seconds`,
    'Time since everything was taken in that a source had said.',
    () => SOURCES.map((source) => ({ labels: { source }, value: watch.ageSeconds(source) })),
  );
  return {
    revoked: (kind) => revocations.add({ kind }),
    consumed: (outcome) => consumptions.add({ outcome }),
    claimed: (outcome) => claims.add({ outcome }),
    consumedTogether: () => batches.add({}),
    budgets: {
      reserved: (outcome) => reservations.add({ outcome }),
      settled: (outcome) => settlements.add({ outcome }),
    },
    usesForgotten: (rows) => forgotten.add({}, rows),
    forgotten: (rows) => {
      for (const [what, count] of Object.entries(rows)) tidied.add({ what }, count);
    },
    checked: (outcome) => checks.add({ outcome }),
    registered: (outcome) => registrations.add({ outcome }),
    changed: (source, effect) => changes.add({ source, effect }),
    quarantined: (source) => quarantined.add({ source }),
    beatRefused: (source) => refused.add({ source }),
    listMade: (seconds) => lists.observe(seconds),
  };
}
