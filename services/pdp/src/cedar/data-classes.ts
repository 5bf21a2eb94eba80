import { parseOperation, permits, type Scope, ScopeError, scope } from '@remit/capability';
import type { ToolBody } from '@remit/contracts';
import { PdpError } from '../errors.ts';

type Declared = readonly { scope: Scope; classes: readonly string[] }[];

const ANY_ACTION = 'read';
const read = new WeakMap<ToolBody, Declared>();

/**
 * Classes of the data behind a resource, as its tool's entry in the registry says: those of every
 * pattern that admits its name, by the one reader of patterns. Throws PdpError `POLICY_ERROR` where an
 * entry is no pattern, so that a guardrail never misses a class.
 */
export function dataClasses(tool: ToolBody, resource: string): string[] {
  if (!tool.resources) return [];
  const operation = parseOperation({ action: ANY_ACTION, resource, args: {} });
  const found = new Set<string>();
  for (const one of declared(tool)) {
    if (permits(one.scope, operation).ok) for (const name of one.classes) found.add(name);
  }
  return [...found].toSorted();
}

function declared(tool: ToolBody): Declared {
  const known = read.get(tool);
  if (known) return known;
  try {
    const made = (tool.resources ?? []).map(({ resource, classes = [] }) => ({
      scope: scope([{ actions: [ANY_ACTION], resources: [resource], args: [] }]),
      classes,
    }));
    read.set(tool, made);
    return made;
  } catch (cause) {
    if (!(cause instanceof ScopeError)) throw cause;
    throw new PdpError('POLICY_ERROR', 'a resource of a tool is no pattern', {}, { cause });
  }
}
