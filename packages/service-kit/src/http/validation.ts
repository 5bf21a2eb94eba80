import { Ajv, type ValidateFunction } from 'ajv';
import type { FastifyInstance, RouteOptions } from 'fastify';
import type { TSchema } from 'typebox';

const ajv = new Ajv({
  strict: true,
  allErrors: false,
  coerceTypes: false,
  useDefaults: false,
  removeAdditional: false,
});

type Validator = (data: unknown) => boolean | { value: unknown };

/**
 * Schemas are checked as they are written: bodies are never coerced, filled in or stripped. In
 * queries and paths, where everything is text, a declared integer or boolean is converted from its
 * one spelling (`5`, `true`) and from nothing else.
 */
export function useStrictValidation(app: FastifyInstance): void {
  app.setValidatorCompiler<TSchema>(({ schema, httpPart }) => {
    const validate = ajv.compile(schema);
    if (httpPart === 'body') return validate;
    return urlValidator(schema, validate);
  });
}

function urlValidator(schema: TSchema, validate: ValidateFunction): Validator {
  const run: Validator & { errors?: ValidateFunction['errors'] } = (data) => {
    const value = convertDeclared(schema, data);
    if (validate(value)) return { value };
    run.errors = validate.errors ?? null;
    return false;
  };
  return run;
}

/** Text members that are declared integer or boolean, converted; everything else as it came. */
function convertDeclared(schema: TSchema, data: unknown): unknown {
  const properties = (schema as { properties?: Record<string, { type?: string }> }).properties;
  if (!properties || typeof data !== 'object' || data === null) return data;
  const out: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(data)) {
    const type = Object.hasOwn(properties, name) ? properties[name]?.type : undefined;
    out[name] = typeof value === 'string' ? convert(type, value) : value;
  }
  return out;
}

function convert(type: string | undefined, text: string): unknown {
  if (type === 'integer' && /^-?(0|[1-9]\d{0,15})$/.test(text)) return Number(text);
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

/** Refuses, when the service is built, a route whose schemas let unknown members pass. */
export function requireClosed(route: RouteOptions): void {
  const schema = (route.schema ?? {}) as Record<string, unknown>;
  for (const part of ['body', 'querystring', 'params'] as const) {
    if (schema[part] !== undefined && !isClosed(schema[part])) {
      throw new Error(
        `${String(route.method)} ${route.url}: the schema of its ${part} is not closed`,
      );
    }
  }
}

function isClosed(schema: unknown): boolean {
  const s = schema as { type?: string; additionalProperties?: unknown; anyOf?: unknown[] };
  if (Array.isArray(s.anyOf)) return s.anyOf.every(isClosed);
  return s.type !== 'object' || s.additionalProperties === false;
}
