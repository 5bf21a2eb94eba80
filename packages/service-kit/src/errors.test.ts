import { BusError } from '@remit/bus';
import { ContractError, WIRE_ERRORS } from '@remit/contracts';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { WIRE_MAPPINGS, wireError } from './errors.ts';
import { toWireError } from './wire.ts';

describe('the table of wire errors', () => {
  it('says each code as it is said to clients', () => {
    const said = Object.entries(WIRE_MAPPINGS).map(
      ([code, { status, oauth }]) => `${code} ${status} ${oauth}`,
    );
    expect(said).toEqual([
      'INVALID_REQUEST 400 invalid_request',
      'UNSUPPORTED_MEDIA_TYPE 415 invalid_request',
      'PAYLOAD_TOO_LARGE 413 invalid_request',
      'METHOD_NOT_ALLOWED 405 invalid_request',
      'NOT_FOUND 404 invalid_request',
      'TENANT_UNKNOWN 404 invalid_request',
      'UNAUTHENTICATED 401 invalid_token',
      'FORBIDDEN 403 access_denied',
      'CONFLICT 409 invalid_request',
      'INVALID_CLIENT 401 invalid_client',
      'INVALID_GRANT_REQUEST 400 invalid_request',
      'UNSUPPORTED_GRANT_TYPE 400 unsupported_grant_type',
      'INVALID_TARGET 400 invalid_target',
      'INVALID_SCOPE 400 invalid_scope',
      'INVALID_AUTHORIZATION_DETAILS 400 invalid_authorization_details',
      'INVALID_DPOP_PROOF 400 invalid_dpop_proof',
      'USE_DPOP_NONCE 400 use_dpop_nonce',
      'UNAUTHORIZED_CLIENT 400 unauthorized_client',
      'ACCESS_DENIED 403 access_denied',
      'POLICY_INVALID 422 invalid_request',
      'UNAVAILABLE 503 temporarily_unavailable',
      'OVERLOADED 503 temporarily_unavailable',
      'INTERNAL 500 server_error',
    ]);
    expect(Object.keys(WIRE_MAPPINGS)).toEqual(Object.keys(WIRE_ERRORS));
  });
});

const BROKEN = 'Client has encountered a connection error and is not queryable';

describe('an error that was thrown', () => {
  const coded = (code: string) => Object.assign(new Error('secret'), { code });
  it.each([
    ['of the bus', new BusError('CALL_TIMEOUT', 'secret'), 'UNAVAILABLE'],
    [
      'a refusal by another service',
      new BusError('CALL_REFUSED', 'secret', { details: { code: 'TENANT_UNKNOWN' } }),
      'TENANT_UNKNOWN',
    ],
    [
      'another service failing inside',
      new BusError('CALL_REFUSED', 'secret', { details: { code: 'INTERNAL' } }),
      'UNAVAILABLE',
    ],
    ['of the recorder', coded('AUDIT_UNAVAILABLE'), 'UNAVAILABLE'],
    ['of a database that is away', coded('ECONNREFUSED'), 'UNAVAILABLE'],
    ['of a database that shuts down', coded('57P01'), 'UNAVAILABLE'],
    ['of a transaction that lost a deadlock', coded('40P01'), 'UNAVAILABLE'],
    ['of a lock that was not given in time', coded('55P03'), 'UNAVAILABLE'],
    ['of a connection that broke before', new Error(BROKEN), 'UNAVAILABLE'],
    ['of a connection that took too long', new Error('timeout expired'), 'UNAVAILABLE'],
    ['of a wrong statement', coded('42601'), 'INTERNAL'],
    ['of a contract', new ContractError('SCHEMA_MISMATCH', 'secret'), 'INTERNAL'],
    ['with an inherited name as its code', coded('constructor'), 'INTERNAL'],
    ['not even an error', 'secret', 'INTERNAL'],
  ])('%s becomes a wire error without its words', (_, error, code) => {
    const wire = toWireError(error);
    expect(wire.code).toBe(code);
    expect(wire.wireCode).toBe(code);
    expect(wire.message).toBe(WIRE_ERRORS[code as keyof typeof WIRE_ERRORS]);
  });

  it('of a pool that was closed says that the service is not there', async () => {
    const pool = new pg.Pool();
    await pool.end();
    const error = await pool.connect().catch((thrown: unknown) => thrown);
    expect(toWireError(error).code).toBe('UNAVAILABLE');
  });

  it('as a wire error stays the same', () => {
    const error = wireError('CONFLICT', { detail: 'Already there.' });
    expect(toWireError(error)).toBe(error);
  });
});
