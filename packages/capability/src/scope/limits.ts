/**
 * Every bound of the algebra. A scope or an operation that passes one is refused with a code, never
 * cut. Sizes of text are counted in Unicode code points.
 */
export const LIMITS = Object.freeze({
  /** Permissions of a scope, after those that say nothing new are dropped. */
  permissions: 64,
  /** Permissions as written, before that. */
  writtenPermissions: 512,
  actions: 64,
  resources: 64,
  /** Patterns of one `like`, `emails` or `hosts`. */
  patterns: 64,
  /** Values of one `in`. */
  values: 1024,
  argPaths: 256,
  constraints: 256,
  nameLength: 512,
  nameSegments: 32,
  /** `each` inside `each`. */
  eachDepth: 4,
  /** Nesting, nodes and text of the arguments of one call. */
  argumentDepth: 32,
  argumentNodes: 10_000,
  argumentText: 262_144,
  /** The same of a written scope. */
  scopeDepth: 40,
  scopeNodes: 50_000,
  scopeText: 1_048_576,
  /** Patterns or permissions that a meet may hold while it is being built. */
  working: 256,
} as const);
