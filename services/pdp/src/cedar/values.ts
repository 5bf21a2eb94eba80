import type { CedarValueJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { ArgType } from '@remit/contracts';
import { PdpError } from '../errors.ts';
import type { ArgShape } from './schema.ts';

type CedarRecord = Record<string, CedarValueJson>;

/** Cedar reads a record with one of these keys as an entity, an extension value or an expression. */
const CEDAR_KEYS = new Set(['__entity', '__extn', '__expr']);
const MAX_DECIMAL = 922_337_203_685_477;

const refuse = (why: string, path: readonly string[]): never => {
  throw new PdpError('POLICY_ERROR', `an argument cannot be given to a policy: ${why}`, {
    path: path.join('.'),
  });
};

/** Text as Cedar can hold it. Throws PdpError `POLICY_ERROR` for lone surrogates, which it would replace. */
export function carryText(value: string): string {
  if (!value.isWellFormed()) throw new PdpError('POLICY_ERROR', 'a text is not well-formed');
  return value;
}

/**
 * The arguments as Cedar's record, by the types that the tool declares: integers as Long, exact
 * numbers as decimal, absent for null. What no tool declares cannot be read by any policy and is left
 * out. The keys by which Cedar marks its own values are refused at any depth, declared or not.
 * Throws PdpError `POLICY_ERROR` for what cannot be carried; never a guess, never a default.
 */
export function carryArgs(args: Readonly<Record<string, unknown>>, shape: ArgShape): CedarRecord {
  refuseCedarKeys(args, []);
  return carryRecord(args, shape, []);
}

function refuseCedarKeys(value: unknown, path: readonly string[]): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, below] of Object.entries(value)) {
    if (CEDAR_KEYS.has(key)) refuse('a key is reserved by Cedar', path);
    refuseCedarKeys(below, [...path, key]);
  }
}

function carryRecord(
  args: Readonly<Record<string, unknown>>,
  shape: ArgShape,
  path: readonly string[],
): CedarRecord {
  const out: CedarRecord = {};
  for (const [key, type] of shape) {
    if (!Object.hasOwn(args, key)) continue;
    const value = args[key];
    if (value === null || value === undefined) continue;
    const at = [...path, key];
    if (typeof type === 'string') {
      out[key] = carry(value, type, at);
    } else if (typeof value === 'object' && !Array.isArray(value)) {
      out[key] = carryRecord(value as Record<string, unknown>, type, at);
    } else {
      refuse('it is not an object', at);
    }
  }
  return out;
}

function carry(value: unknown, type: ArgType, path: readonly string[]): CedarValueJson {
  switch (type) {
    case 'boolean':
      return typeof value === 'boolean' ? value : refuse('it is not true or false', path);
    case 'string':
      return typeof value === 'string' ? carryText(value) : refuse('it is not a text', path);
    case 'long':
      return Number.isSafeInteger(value)
        ? (value as number)
        : refuse('it is not an exact integer', path);
    case 'decimal':
      return { __extn: { fn: 'decimal', arg: decimalText(value, path) } };
    case 'strings':
      return Array.isArray(value) && value.every((item) => typeof item === 'string')
        ? value.map(carryText)
        : refuse('it is not a list of texts', path);
  }
}

/** Cedar's decimals have one to four fractional digits and no exponent. */
function decimalText(value: unknown, path: readonly string[]): string {
  if (typeof value !== 'number' || !(Math.abs(value) < MAX_DECIMAL)) {
    return refuse('it is not a number that a decimal holds', path);
  }
  const text = String(value);
  if (Number.isInteger(value)) return `${value === 0 ? 0 : text}.0`;
  const digits = text.split('.')[1];
  return digits !== undefined && !text.includes('e') && digits.length <= 4
    ? text
    : refuse('it has more than four fractional digits', path);
}
