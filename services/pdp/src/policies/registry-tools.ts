import type { ToolBody } from '@remit/contracts';
import type { Directory } from '@remit/service-kit';
import { PdpError } from '../errors.ts';

/**
 * All tools of a tenant, from which the schema of its policies is made. Rejects with the bus's errors
 * and with PdpError `REGISTRY_DATA_INVALID` when the registry does not list them.
 */
export async function toolsOf(directory: Directory, tenant: string): Promise<ToolBody[]> {
  const { tools } = await directory.lookup(tenant, { actors: [], tools: true });
  if (!tools)
    throw new PdpError('REGISTRY_DATA_INVALID', 'the registry did not list the tools', { tenant });
  return Promise.all(tools.map(({ body }) => directory.body(tenant, body, 'tool')));
}
