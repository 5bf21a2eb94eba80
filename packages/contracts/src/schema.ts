import { Ajv, type ValidateFunction } from 'ajv';
import { type Static, type TSchema, Type } from 'typebox';
import { ContractError } from './error.ts';

const ajv = new Ajv({
  strict: true,
  allErrors: false,
  coerceTypes: false,
  useDefaults: false,
  removeAdditional: false,
});
const compiled = new WeakMap<object, ValidateFunction>();

/** A closed object schema: unknown members are refused. */
export function closed<P extends Record<string, TSchema>>(properties: P) {
  return Type.Object(properties, { additionalProperties: false });
}

/** A union of literal strings. */
export function oneOf<const T extends readonly [string, ...string[]]>(...values: T) {
  return Type.Unsafe<T[number]>({ type: 'string', enum: [...values] });
}

/** Non-empty text of at most `maxLength` UTF-16 units (default 512). */
export const text = (maxLength = 512) => Type.String({ minLength: 1, maxLength });

/** An integer from 0 to 2^53 − 1. */
export const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** Whether a value follows a schema. Nothing is coerced, filled in or stripped. */
export function matches<S extends TSchema>(schema: S, value: unknown): value is Static<S> {
  return validator(schema)(value);
}

/**
 * Returns the value, typed, when it follows the schema; throws ContractError `SCHEMA_MISMATCH`
 * with the first error's path (never the value) otherwise.
 */
export function conform<S extends TSchema>(schema: S, value: unknown): Static<S> {
  const validate = validator(schema);
  if (validate(value)) return value as Static<S>;
  const first = validate.errors?.[0];
  throw new ContractError(
    'SCHEMA_MISMATCH',
    `${first?.instancePath || '/'} ${first?.message ?? 'is not valid'}`,
    {
      path: first?.instancePath ?? '',
      keyword: first?.keyword ?? '',
    },
  );
}

function validator(schema: TSchema): ValidateFunction {
  let validate = compiled.get(schema);
  if (!validate) {
    validate = ajv.compile(schema);
    compiled.set(schema, validate);
  }
  return validate;
}
