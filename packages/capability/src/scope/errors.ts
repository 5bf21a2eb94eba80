export type ScopeErrorCode =
  | 'ACTION_INVALID'
  | 'ARGUMENT_INVALID'
  | 'OPERATION_INVALID'
  | 'RESOURCE_INVALID'
  | 'SCOPE_INVALID'
  | 'SCOPE_TOO_LARGE';

/** Where in the input it was, as the names and indexes that lead there. */
export interface ScopeErrorContext {
  readonly at?: readonly (string | number)[];
}

/** What `scope/` throws. The message never holds the value of an argument. */
export class ScopeError extends Error {
  override readonly name = 'ScopeError';
  readonly code: ScopeErrorCode;
  readonly context: ScopeErrorContext;

  constructor(code: ScopeErrorCode, message: string, context: ScopeErrorContext = {}) {
    super(message);
    this.code = code;
    this.context = context;
  }
}
