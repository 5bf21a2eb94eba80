import { closed, matches, oneOf } from '@remit/contracts';
import { readJsonFile } from '@remit/service-kit';
import { type Static, Type } from 'typebox';
import { AuditError } from '../error.ts';

/** `keep`: value and salt. `commit`: the salt alone, so that who knows the value can show it. */
const treatment = oneOf('commit', 'drop', 'keep');
type Treatment = Static<typeof treatment>;

const fields = closed({
  principal: Type.Optional(treatment),
  source: Type.Optional(treatment),
  purpose: Type.Optional(treatment),
  /** Every argument that `arg` does not name. */
  args: Type.Optional(treatment),
  /** Single arguments by name. */
  arg: Type.Optional(Type.Record(Type.String(), treatment)),
});
const policyFile = Type.Record(
  Type.String({ pattern: '^(\\*|[a-z0-9][a-z0-9-]{0,30})$' }),
  fields,
  { additionalProperties: false },
);

/** What is kept of a personal value. The commitment in the record stays in any case. */
export type ValuePolicy = (tenant: string, pointer: string) => Treatment;

const ARG = '/operation/args/';

/**
 * Reads what tenants keep of personal values; `*` is for those that are not named. Without a file
 * everything is kept. Throws AuditError `VALUE_POLICY_INVALID`.
 */
export function readValuePolicy(path: string | undefined): ValuePolicy {
  if (path === undefined) return () => 'keep';
  const policies = readJsonFile(path);
  if (!matches(policyFile, policies)) {
    throw new AuditError('VALUE_POLICY_INVALID', `${path} is not a policy for personal values.`);
  }
  const byTenant = new Map(Object.entries(policies));
  return (tenant, pointer) => {
    const policy = byTenant.get(tenant) ?? byTenant.get('*') ?? {};
    if (pointer === '/principal') return policy.principal ?? 'keep';
    if (pointer === '/source') return policy.source ?? 'keep';
    if (pointer === '/task/purpose') return policy.purpose ?? 'keep';
    const name = pointer.slice(ARG.length).replaceAll('~1', '/').replaceAll('~0', '~');
    const own = policy.arg && Object.hasOwn(policy.arg, name) ? policy.arg[name] : undefined;
    return own ?? policy.args ?? 'keep';
  };
}
