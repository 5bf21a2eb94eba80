/** A JSON value, frozen to the bottom. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

export type JsonObject = { readonly [key: string]: Json };

/** The tests of one argument, or of every element of one (`each`). All of them must hold. */
export interface ElementTests {
  /** Deep JSON equality with one of these. `eq: v` is read as `in: [v]`. */
  readonly in?: readonly Json[];
  /** A number, bounds included. */
  readonly min?: number;
  readonly max?: number;
  /** A `/`-separated name that one of these patterns admits. */
  readonly like?: readonly string[];
  /** One address, on one of these hosts. */
  readonly emails?: readonly string[];
  /** An absolute https URL, on one of these hosts. */
  readonly hosts?: readonly string[];
  /** A string of at most so many code points. */
  readonly maxLength?: number;
  /** An array of at most so many elements. */
  readonly maxItems?: number;
  /** An array whose every element passes these. */
  readonly each?: ElementTests;
}

/** What must hold of one argument. Without any test: it is present. */
export interface Constraint extends ElementTests {
  /** It may also be absent. */
  readonly optional?: true;
  /** It must be absent. */
  readonly absent?: true;
}

/** A box of operations: one is in it when every side admits it. */
export interface Permission {
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  /** Which arguments may be given: any, or those at and below these paths; `[]` is none. */
  readonly args: 'any' | readonly string[];
  readonly constraints?: { readonly [path: string]: Constraint };
  /** The call must be decided by the PDP, with its arguments. */
  readonly check?: 'online';
}

declare const normal: unique symbol;
declare const parsed: unique symbol;

/** A union of permissions in normal form. Only `scope()` and `meet()` make one. */
export interface Scope {
  readonly permissions: readonly Permission[];
  readonly [normal]: true;
}

/** What a tool is about to do: a frozen copy. Only `parseOperation()` makes one. */
export interface Operation {
  readonly action: string;
  readonly resource: string;
  readonly args: JsonObject;
  readonly [parsed]: true;
}

/** The name of a test as an author writes it, or why a value failed before any test was reached. */
export type TestName =
  | 'absent'
  | 'each'
  | 'emails'
  | 'hosts'
  | 'in'
  | 'like'
  | 'max'
  | 'maxItems'
  | 'maxLength'
  | 'min'
  /** The argument is missing and not optional. */
  | 'present'
  /** A number that isn't exact in JSON, JavaScript and Cedar alike. */
  | 'exact';
