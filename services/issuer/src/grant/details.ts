import { ScopeError, scope } from '@remit/capability';
import {
  ContractError,
  closed,
  conform,
  FREE_TASK_TYPE,
  type JsonObject,
  type JsonValue,
  type PermissionJson,
  parseJsonStrict,
  text,
} from '@remit/contracts';
import { type Static, Type } from 'typebox';
import { IssuerError } from '../error.ts';
import { DETAIL_TYPES } from './names.ts';
import { type TaskLimits, taskLimits } from './terms.ts';

const LIMITS = { maxLength: 32_768, maxDepth: 12 };
const MAX_REQUESTED = 64;

const taskDetail = closed({
  type: Type.Literal(DETAIL_TYPES.task),
  task_type: text(128),
  slots: Type.Record(
    Type.String({ pattern: '^[a-z][a-z0-9_]{0,31}$' }),
    Type.Union([text(256), Type.Number()]),
    { additionalProperties: false, maxProperties: 32 },
  ),
  narrow: Type.Optional(Type.Boolean()),
  limits: Type.Optional(taskLimits),
});

/** What a client asks a task to be. */
export type RequestedTask = {
  readonly taskType: string;
  readonly slots: Static<typeof taskDetail>['slots'];
  /** The list that the client wrote, in its order; absent when it asks for the whole ceiling. */
  readonly requested: PermissionJson[] | undefined;
  readonly narrow: boolean;
  /** Less than the task type says of the task. */
  readonly limits: TaskLimits | undefined;
};

/**
 * Reads `authorization_details` of a launch (RFC 9396 sections 2 and 6): a JSON array with one object
 * of the task type and any number of permissions, or with permissions alone for a free task.
 * Refuses every unknown type, unknown member, wrong type and missing member, duplicate member names,
 * and `narrow` without a list to narrow. Does not know whether task type and slots exist: that is
 * the registry's and the pdp's to say.
 * Throws IssuerError `DETAILS_INVALID` (`invalid_authorization_details`, RFC 9396 section 5).
 */
export function parseDetails(json: string): RequestedTask {
  const { tasks, requested } = sortDetails(json);
  const [task, ...more] = tasks;
  if (more.length > 0) throw invalid(`One ${DETAIL_TYPES.task} is enough.`);
  if (!task) return freeTask(requested);
  const { task_type: taskType, slots, narrow = false, limits } = readTask(task);
  if (narrow && requested.length === 0) throw invalid('narrow needs a list of permissions.');
  checkPermissions(requested);
  const list = requested.length > 0 ? requested : undefined;
  return { taskType, slots, requested: list, narrow, limits };
}

/** A list of permissions alone: for clients that the registry lets start such tasks. */
function freeTask(requested: PermissionJson[]): RequestedTask {
  if (requested.length === 0) throw invalid(`A ${DETAIL_TYPES.task} is needed.`);
  checkPermissions(requested);
  return { taskType: FREE_TASK_TYPE, slots: {}, requested, narrow: false, limits: undefined };
}

/**
 * Reads `authorization_details` of a delegation or a renewal: permissions alone, for the task is the
 * subject token's. Throws IssuerError `DETAILS_INVALID`.
 */
export function parsePermissions(json: string): PermissionJson[] {
  const { tasks, requested } = sortDetails(json);
  if (tasks.length > 0) throw invalid('The task is that of the subject token.');
  if (requested.length === 0) throw invalid('No permission is asked for.');
  checkPermissions(requested);
  return requested;
}

function sortDetails(json: string): { tasks: JsonObject[]; requested: PermissionJson[] } {
  const tasks: JsonObject[] = [];
  const requested: PermissionJson[] = [];
  for (const detail of parseArray(json)) {
    if (!isObject(detail)) throw invalid('Each authorization detail is an object.');
    if (detail.type === DETAIL_TYPES.task) tasks.push(detail);
    else if (detail.type === DETAIL_TYPES.capability) requested.push(permission(detail));
    else throw invalid('An authorization detail has an unknown type.');
  }
  if (requested.length > MAX_REQUESTED) throw invalid('Too many permissions are asked for.');
  return { tasks, requested };
}

function parseArray(json: string): JsonValue[] {
  try {
    const value = parseJsonStrict(json, LIMITS);
    if (Array.isArray(value)) return value;
  } catch (cause) {
    throw invalid('authorization_details is not well-formed JSON.', cause);
  }
  throw invalid('authorization_details is not an array.');
}

function readTask(detail: JsonObject): Static<typeof taskDetail> {
  try {
    return conform(taskDetail, detail);
  } catch (cause) {
    const path = cause instanceof ContractError ? String(cause.details.path) : '';
    throw invalid(`The task is not well-formed${path === '' ? '' : ` at ${path}`}.`, cause);
  }
}

/** One by one, so that the error can say which; the pdp reads the list again as a whole. */
function checkPermissions(requested: readonly PermissionJson[]): void {
  for (const [index, item] of requested.entries()) {
    try {
      scope([item]);
    } catch (cause) {
      if (!(cause instanceof ScopeError)) throw cause;
      throw invalid(`Permission ${index} is not well-formed.`, cause);
    }
  }
}

function permission({ type: _type, ...members }: JsonObject): PermissionJson {
  return members as PermissionJson;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(message: string, cause?: unknown): IssuerError {
  return new IssuerError('DETAILS_INVALID', message, { reason: 'request_malformed', cause });
}
