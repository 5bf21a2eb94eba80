import type { Static, TSchema } from 'typebox';
import {
  evaluateRequest,
  evaluateResponse,
  filterRequest,
  filterResponse,
  mintRequest,
  mintResponse,
} from './decision.ts';
import { bodyRequest, bodyResponse, lookupRequest, lookupResponse } from './registry.ts';
import {
  checkRequest,
  checkResponse,
  claimRequest,
  claimResponse,
  consumeRequest,
  consumeResponse,
  headRequest,
  headResponse,
  registerRequest,
  registerResponse,
  revokeRequest,
  revokeResponse,
  sinceRequest,
  sinceResponse,
  snapshotRequest,
  snapshotResponse,
} from './revocation.ts';
import {
  commitRequest,
  releaseRequest,
  reserveRequest,
  reserveResponse,
  settleResponse,
} from './spending.ts';
import type { TrustedKeys } from './trust.ts';

/**
 * Every request over the bus. `callers` are the services that may ask; `peps` whether PEPs of a
 * tenant may. Permissions of the bus are generated from this table, so a caller that is not in it
 * cannot even send.
 */
export const rpc = {
  'pdp.evaluate': {
    callee: 'pdp',
    method: 'evaluate',
    request: evaluateRequest,
    response: evaluateResponse,
    callers: [],
    peps: true,
    signedBy: 'pdp',
  },
  'pdp.filter': {
    callee: 'pdp',
    method: 'filter',
    request: filterRequest,
    response: filterResponse,
    callers: [],
    peps: true,
    signedBy: 'pdp',
  },
  'pdp.mint': {
    callee: 'pdp',
    method: 'mint',
    request: mintRequest,
    response: mintResponse,
    callers: ['issuer'],
    peps: false,
    signedBy: 'pdp',
  },
  'registry.lookup': {
    callee: 'registry',
    method: 'lookup',
    request: lookupRequest,
    response: lookupResponse,
    callers: ['audit', 'issuer', 'pdp', 'revocation'],
    peps: false,
    signedBy: 'registry',
  },
  'registry.body': {
    callee: 'registry',
    method: 'body',
    request: bodyRequest,
    response: bodyResponse,
    callers: ['audit', 'issuer', 'pdp', 'revocation'],
    peps: false,
    signedBy: 'registry',
  },
  'revocation.check': {
    callee: 'revocation',
    method: 'check',
    request: checkRequest,
    response: checkResponse,
    callers: ['issuer'],
    peps: false,
    signedBy: 'revocation',
  },
  'revocation.register': {
    callee: 'revocation',
    method: 'register',
    request: registerRequest,
    response: registerResponse,
    callers: ['issuer'],
    peps: false,
    signedBy: 'revocation',
  },
  'revocation.revoke': {
    callee: 'revocation',
    method: 'revoke',
    request: revokeRequest,
    response: revokeResponse,
    callers: ['issuer'],
    peps: false,
    signedBy: 'revocation',
  },
  'revocation.claim': {
    callee: 'revocation',
    method: 'claim',
    request: claimRequest,
    response: claimResponse,
    callers: [],
    peps: true,
    signedBy: 'revocation',
  },
  'revocation.consume': {
    callee: 'revocation',
    method: 'consume',
    request: consumeRequest,
    response: consumeResponse,
    callers: [],
    peps: true,
    signedBy: 'revocation',
  },
  'revocation.reserve': {
    callee: 'revocation',
    method: 'reserve',
    request: reserveRequest,
    response: reserveResponse,
    callers: [],
    peps: true,
    signedBy: 'revocation',
  },
  'revocation.commit': {
    callee: 'revocation',
    method: 'commit',
    request: commitRequest,
    response: settleResponse,
    callers: [],
    peps: true,
    signedBy: 'revocation',
  },
  'revocation.release': {
    callee: 'revocation',
    method: 'release',
    request: releaseRequest,
    response: settleResponse,
    callers: [],
    peps: true,
    signedBy: 'revocation',
  },
  'revocation.head': {
    callee: 'revocation',
    method: 'head',
    request: headRequest,
    response: headResponse,
    callers: ['issuer', 'pdp'],
    peps: true,
    signedBy: 'revocation',
  },
  'revocation.since': {
    callee: 'revocation',
    method: 'since',
    request: sinceRequest,
    response: sinceResponse,
    callers: ['issuer', 'pdp'],
    peps: true,
    signedBy: 'revocation',
  },
  'revocation.snapshot': {
    callee: 'revocation',
    method: 'snapshot',
    request: snapshotRequest,
    response: snapshotResponse,
    callers: ['issuer', 'pdp'],
    peps: true,
    signedBy: 'revocation',
  },
} as const satisfies Record<string, RpcDeclaration>;

export type RpcDeclaration = {
  callee: string;
  method: string;
  request: TSchema;
  response: TSchema;
  callers: readonly string[];
  peps: boolean;
  signedBy: TrustedKeys;
};

export type RpcMethod = keyof typeof rpc;
export type RpcRequest<M extends RpcMethod> = Static<(typeof rpc)[M]['request']>;
export type RpcResponse<M extends RpcMethod> = Static<(typeof rpc)[M]['response']>;

/** The services of this deployment, which are also their users on the bus. */
export const SERVICES = ['audit', 'issuer', 'pdp', 'registry', 'revocation'] as const;
export type ServiceName = (typeof SERVICES)[number];
