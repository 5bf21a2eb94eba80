import { readFileSync } from 'node:fs';
import { ContractError, conform } from '@remit/contracts';
import type { Static, TSchema } from 'typebox';
import { parseDocument } from 'yaml';
import { RegistryError } from '../error.ts';

/** Values that `${env:NAME}` may stand for: only names below this, so that no secret gets into a body. */
const VARIABLE = /\$\{env:([^}]*)\}/g;
const ALLOWED = /^REMIT_LOAD_[A-Z0-9_]+$/;

export type Environment = Readonly<Record<string, string | undefined>>;

/** An error of the folder, naming the file and what to do. */
export function loadError(file: string, message: string): RegistryError {
  return new RegistryError('LOAD_INVALID', `${file}: ${message}`, { file });
}

/**
 * Reads one YAML 1.2 file: duplicate keys, aliases, tags and several documents are refused.
 * `${env:REMIT_LOAD_…}` inside a string is replaced after parsing, so it cannot change the structure.
 * Throws RegistryError `LOAD_INVALID` with the file and the path inside.
 */
export function readYaml<S extends TSchema>(
  path: string,
  shown: string,
  schema: S,
  env: Environment,
): Static<S> {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as { code?: string }).code;
    throw loadError(shown, code === 'ENOENT' ? 'is missing' : `cannot be read (${code})`);
  }
  const document = parseDocument(content, { version: '1.2', uniqueKeys: true, strict: true });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) throw loadError(shown, firstLine(problem.message));
  let value: unknown;
  try {
    value = substitute(document.toJS({ maxAliasCount: 0 }), shown, env);
  } catch (error) {
    if (error instanceof RegistryError) throw error;
    throw loadError(shown, firstLine((error as Error).message));
  }
  try {
    return conform(schema, value);
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    throw loadError(shown, error.message);
  }
}

function substitute(value: unknown, shown: string, env: Environment): unknown {
  if (typeof value === 'string') {
    return value.replace(VARIABLE, (_, name: string) => {
      if (!ALLOWED.test(name)) {
        throw loadError(shown, `names the variable ${name}; only REMIT_LOAD_… may be used`);
      }
      const found = env[name];
      if (!found)
        throw loadError(shown, `needs the environment variable ${name}, which is not set`);
      return found;
    });
  }
  if (Array.isArray(value)) return value.map((member) => substitute(member, shown, env));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, member]) => [key, substitute(member, shown, env)]),
    );
  }
  return value;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
