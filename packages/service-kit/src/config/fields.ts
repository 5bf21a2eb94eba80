import { type TSchema, Type } from 'typebox';

/** What a field of the configuration says besides its type. */
export type FieldOptions = {
  /** One sentence for people; printed in errors and in the generated reference. */
  description: string;
};

const secretMark = { secret: true } as const;

/** Non-empty text. */
export const textField = (options: FieldOptions & { pattern?: string; default?: string }) =>
  Type.String({ minLength: 1, maxLength: 4_096, ...options });

/** One of some words. */
export const choiceField = <const T extends readonly [string, ...string[]]>(
  values: T,
  options: FieldOptions & { default?: T[number] },
) => Type.Unsafe<T[number]>({ type: 'string', enum: [...values], ...options });

/** A decimal integer; the unit is part of the variable's name. */
export const integerField = (
  options: FieldOptions & { minimum: number; maximum: number; default?: number },
) => Type.Integer(options);

/** `true` or `false`, nothing else. */
export const booleanField = (options: FieldOptions & { default?: boolean }) =>
  Type.Boolean(options);

/** An absolute URL of one of the given schemes, without user, query and fragment. */
export const urlField = (
  options: FieldOptions & { schemes: readonly string[]; default?: string },
) => {
  const { schemes, ...rest } = options;
  return Type.String({ minLength: 1, maxLength: 2_048, urlSchemes: [...schemes], ...rest });
};

/** Text that is never printed; may also come from the file that `<NAME>_FILE` names. */
export const secretField = (options: FieldOptions) =>
  Type.String({ minLength: 1, maxLength: 65_536, ...secretMark, ...options });

/** A path of a file or folder; it is not opened here. */
export const pathField = (options: FieldOptions & { default?: string }) =>
  Type.String({ minLength: 1, maxLength: 4_096, ...options });

/** Whether a field is printed redacted. */
export function isSecret(schema: TSchema): boolean {
  return (schema as { secret?: unknown }).secret === true;
}
