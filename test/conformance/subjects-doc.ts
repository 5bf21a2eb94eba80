import { durables, rpc, SERVICES, SIGNED, streams } from '@remit/contracts';
import { pepRights, serviceRights } from '../../infra/nats/permissions.ts';

/** `docs/subjects.md`, whole: what is on the bus and who may do what, from the contracts. */
export function renderSubjects(): string {
  const methods = Object.entries(rpc).map(
    ([name, { callee, method, callers, peps }]) =>
      `| \`${name}\` | \`remit.rpc.${callee}.${method}.<tenant>.<caller>\` | ${[...callers, ...(peps ? ['PEPs'] : [])].join(', ')} |`,
  );
  const kept = Object.values(streams).map(
    ({ name, owner, subjects, description }) =>
      `| \`${name}\` | ${owner} | ${subjects.map((one) => `\`${one}\``).join(', ')} | ${description} |`,
  );
  const readers = Object.values(durables).map(
    ({ stream, durable, owner }) => `| \`${stream}\` | \`${durable}\` | ${owner} |`,
  );
  const rights = [
    ...SERVICES.map((service) => [service, serviceRights(service, ['siem'])] as const),
    ['a PEP `erp-1` of `acme`', pepRights('acme', 'erp-1')] as const,
  ].map(
    ([who, { publish, subscribe }]) =>
      `### ${who}\n\npublishes ${list(publish)}\n\nsubscribes ${list(subscribe)}`,
  );
  return `# Subjects

Written by \`node test/conformance/write-docs.ts\` from \`packages/contracts\`; a test compares it with the code.

| subject | kind | signed as |
|---|---|---|
| \`remit.rpc.<callee>.<method>.<tenant>.<caller>\` | request, queue group of the callee; answers on \`_R.<caller>.<callee>.<instance>.<random>\` | answer: \`${SIGNED.reply}\` |
| \`remit.revocation.<tenant>\` | core | \`${SIGNED.revocation}\` |
| \`remit.beat.revocation.<shard>\` | core, every 250 ms; a next key of the feed every 2 s | \`${SIGNED.beat}\`, \`${SIGNED.feedKey}\` |
| \`remit.beat.registry\`, \`remit.beat.pdp\` | core, every 250 ms | \`${SIGNED.beat}\` |
| \`remit.registry.<tenant>.<entity>\` | stream \`REGISTRY\` | \`${SIGNED.registry}\` |
| \`remit.policy.<tenant>\` | stream \`POLICY\` | \`${SIGNED.policy}\` |
| \`remit.audit.<tenant>.<producer>.<event>\` | stream \`AUDIT\`, CloudEvents JSON | |
| \`remit.audit-mark.<tenant>.<producer>\` | core | \`${SIGNED.mark}\` |
| \`remit.checkpoint.<tenant>\` | core | \`${SIGNED.checkpoint}\` |

## Requests

| method | subject | who may ask |
|---|---|---|
${methods.join('\n')}

## Streams

| stream | owner | subjects | what for |
|---|---|---|---|
${kept.join('\n')}

| stream | durable | made by |
|---|---|---|
${readers.join('\n')}

## Permissions

What \`infra/nats\` generates: lists of what is allowed and nothing else.

${rights.join('\n\n')}
`;
}

function list(subjects: readonly string[]): string {
  return subjects.map((one) => `\`${one}\``).join(', ') || 'nothing';
}
