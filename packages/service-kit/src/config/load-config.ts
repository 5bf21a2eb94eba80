import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { type Static, type TObject, type TSchema, Type } from 'typebox';
import { ServiceError } from '../errors.ts';
import { isSecret } from './fields.ts';

/** Environment as a plain object; `process.env` fits. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What {@link loadConfig} found. `warnings` are sentences for the log. */
export type LoadedConfig<S extends TObject> = { config: Static<S>; warnings: string[] };

const PREFIX = 'REMIT_';
/** Read by the process runner and by loaders (`REMIT_LOAD_…`), not fields of a service. */
const OUTSIDE = new Set(['REMIT_PARENT_WATCH']);
const LOADERS = 'REMIT_LOAD_';

const ajv = new Ajv({
  strict: true,
  allErrors: true,
  coerceTypes: false,
  useDefaults: false,
  removeAdditional: false,
});
ajv.addVocabulary(['secret', 'urlSchemes']);

/** The variable of a field: `httpPort` is `REMIT_HTTP_PORT`. */
export function variableName(field: string): string {
  return PREFIX + field.replace(/([A-Z])/g, '_$1').toUpperCase();
}

/**
 * Reads a service's configuration from `REMIT_*` variables. Text becomes integer, boolean or URL by
 * the field's type and nothing else is converted; a secret `X` may instead be in the file that
 * `X_FILE` names; a missing optional field takes the schema's default. An unknown `REMIT_*` variable
 * is a warning. Does not open other files and does not connect to anything.
 * Throws ServiceError `CONFIG_INVALID` that lists every problem: what, why and what to do.
 */
export function loadConfig<S extends TObject>(schema: S, env: Environment): LoadedConfig<S> {
  const problems: string[] = [];
  const known = new Set(OUTSIDE);
  const config: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [field, fieldSchema] of Object.entries(schema.properties as Record<string, TSchema>)) {
    const name = variableName(field);
    known.add(name);
    if (isSecret(fieldSchema)) known.add(`${name}_FILE`);
    const value = readField(schema, field, fieldSchema, name, env, problems);
    if (value !== undefined) config[field] = value;
  }
  if (problems.length > 0) {
    throw new ServiceError(
      'CONFIG_INVALID',
      `The configuration is not usable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
      { problems },
    );
  }
  const warnings = Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !name.startsWith(LOADERS) && !known.has(name))
    .toSorted()
    .map((name) => `${name} is set but this service has no such setting; it is ignored.`);
  return { config: { ...config } as Static<S>, warnings };
}

function readField(
  schema: TObject,
  field: string,
  fieldSchema: TSchema,
  name: string,
  env: Environment,
  problems: string[],
): unknown {
  const found = rawValue(fieldSchema, name, env, problems);
  if (found === null) return undefined;
  if (found === undefined) {
    const fallback = (fieldSchema as { default?: unknown }).default;
    if (fallback === undefined && schema.required?.includes(field)) {
      problems.push(
        `${name} is missing. ${descriptionOf(fieldSchema)} Set it${orFile(fieldSchema, name)}.`,
      );
    }
    return fallback;
  }
  const value = convert(fieldSchema, found);
  if (value !== undefined && valid(fieldSchema, value)) return value;
  const shown = isSecret(fieldSchema) ? 'what was given' : JSON.stringify(found);
  problems.push(
    `${name} must be ${expectation(fieldSchema)}, not ${shown}. ${descriptionOf(fieldSchema)}`,
  );
  return undefined;
}

/** The text of a field; undefined when it is not set, null when that itself is a problem. */
function rawValue(
  fieldSchema: TSchema,
  name: string,
  env: Environment,
  problems: string[],
): string | null | undefined {
  const direct = env[name];
  const file = isSecret(fieldSchema) ? env[`${name}_FILE`] : undefined;
  if (file === undefined || file === '') return direct === '' ? undefined : direct;
  if (direct !== undefined && direct !== '') {
    problems.push(`${name} and ${name}_FILE are both set. Remove one of them.`);
    return null;
  }
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (cause) {
    const code = (cause as { code?: string }).code ?? 'unreadable';
    problems.push(
      `${name}_FILE names ${file}, which cannot be read (${code}). Check path and rights.`,
    );
    return null;
  }
}

/** Text to value, by the declared type. Undefined when the text is not of that type. */
function convert(schema: TSchema, text: string): unknown {
  const type = (schema as { type?: string }).type;
  if (type === 'integer') return /^-?(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : undefined;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined;
  const schemes = (schema as { urlSchemes?: readonly string[] }).urlSchemes;
  if (schemes) return isPlainUrl(text, schemes) ? text : undefined;
  return text;
}

function isPlainUrl(text: string, schemes: readonly string[]): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const plain = url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  return schemes.includes(url.protocol) && plain && !text.endsWith('/');
}

function valid(schema: TSchema, value: unknown): boolean {
  return ajv.validate<unknown>(schema, value);
}

function expectation(schema: TSchema): string {
  const s = schema as {
    type?: string;
    enum?: string[];
    minimum?: number;
    maximum?: number;
    urlSchemes?: string[];
    pattern?: string;
  };
  if (s.enum) return `one of ${s.enum.join(', ')}`;
  if (s.type === 'integer') return `an integer from ${s.minimum} to ${s.maximum}`;
  if (s.type === 'boolean') return 'true or false';
  if (s.urlSchemes) {
    return `a URL (${s.urlSchemes.join(' or ')}) without user, query, fragment and trailing slash`;
  }
  if (s.pattern) return `text like ${s.pattern}`;
  return 'non-empty text';
}

function descriptionOf(schema: TSchema): string {
  return (schema as { description?: string }).description ?? '';
}

function orFile(schema: TSchema, name: string): string {
  return isSecret(schema) ? `, or ${name}_FILE to a file that holds it` : '';
}

/** One setting as the generated reference lists it. */
export type ConfigEntry = {
  name: string;
  required: boolean;
  secret: boolean;
  expects: string;
  default?: string;
  description: string;
};

/** Every setting of a schema, in its order. */
export function describeConfig(schema: TObject): ConfigEntry[] {
  return Object.entries(schema.properties as Record<string, TSchema>).map(
    ([field, fieldSchema]) => {
      const fallback = (fieldSchema as { default?: unknown }).default;
      return {
        name: variableName(field),
        required: fallback === undefined && (schema.required?.includes(field) ?? false),
        secret: isSecret(fieldSchema),
        expects: expectation(fieldSchema),
        ...(fallback === undefined
          ? {}
          : { default: JSON.stringify(fallback).replace(/^"|"$/g, '') }),
        description: descriptionOf(fieldSchema),
      };
    },
  );
}

/** The configuration by variable name, secrets replaced; what `--check` prints. */
export function redactConfig(
  schema: TObject,
  config: Record<string, unknown>,
): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const [field, fieldSchema] of Object.entries(schema.properties as Record<string, TSchema>)) {
    const value = config[field];
    if (value === undefined) continue;
    shown[variableName(field)] = isSecret(fieldSchema) ? '[redacted]' : value;
  }
  return shown;
}

/** A closed object schema of configuration fields. */
export function configSchema<P extends Record<string, TSchema>>(fields: P) {
  return Type.Object(fields, { additionalProperties: false });
}
