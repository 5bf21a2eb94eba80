import type { Metrics } from '@remit/service-kit';
import type { TokenKeys } from './token-keys.ts';

/** What the issuer counts beside what every service does. Labels come from closed sets. */
export type IssuerMetrics = ReturnType<typeof createIssuerMetrics>;

const TOKEN_BYTES = [1_024, 2_048, 4_096, 6_144, 8_192, 10_240, 12_288];

export function createIssuerMetrics(metrics: Metrics, tokenKeys: TokenKeys) {
  metrics.gauge('remit_issuer_signing_keys', 'Token keys that are published, all tenants.', () =>
    tokenKeys
      .tenants()
      .reduce((sum, tenant) => sum + (tokenKeys.published(tenant)?.keys.length ?? 0), 0),
  );
  return {
    issued: metrics.counter('remit_issuer_tokens_issued_total', 'Tokens handed out, by kind.'),
    refused: metrics.counter(
      'remit_issuer_tokens_refused_total',
      'Token requests of authenticated clients that were refused, by reason.',
    ),
    strangers: metrics.counter(
      'remit_issuer_strangers_total',
      'Token requests whose client did not authenticate, by reason.',
    ),
    challenges: metrics.counter(
      'remit_issuer_nonce_challenges_total',
      'Token requests that were asked to come again with a nonce in their proof.',
    ),
    introspections: metrics.counter(
      'remit_issuer_introspections_total',
      'Questions about tokens, by outcome.',
    ),
    revocations: metrics.counter(
      'remit_issuer_revocations_total',
      'Requests of holders to revoke a token, by outcome.',
    ),
    seconds: metrics.histogram(
      'remit_issuer_exchange_seconds',
      'Time of a token exchange, by outcome.',
    ),
    bytes: metrics.histogram('remit_issuer_token_bytes', 'Length of issued tokens.', TOKEN_BYTES),
    forgotten: metrics.counter(
      'remit_issuer_replay_rows_forgotten_total',
      'Rows of the replay memory that went after their time.',
    ),
    reloads: metrics.counter('remit_issuer_key_reloads_total', 'Reloads of token keys by outcome.'),
  };
}
