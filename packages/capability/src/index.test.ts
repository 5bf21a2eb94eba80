import { expect, it } from 'vitest';
import * as delegation from './delegation/index.ts';
import * as capability from './index.ts';
import * as link from './link/index.ts';
import * as scope from './scope/index.ts';
import * as token from './token/index.ts';

// Literals, not derived: a name that appears or goes is a change of the public API.
const SCOPE = [
  'LIMITS',
  'ScopeError',
  'describeExcess',
  'describeMiss',
  'excess',
  'isSingle',
  'meet',
  'narrower',
  'parseOperation',
  'permits',
  'samples',
  'scope',
  'within',
];
const TOKEN = [
  'CAPABILITY_TYPE',
  'MAX_DEPTH',
  'MAX_TOKEN_LENGTH',
  'MAX_TTL_SECONDS',
  'PROOF_ROOM',
  'TokenError',
  'accessTokenHash',
  'capabilityPayload',
  'checkAudience',
  'checkBinding',
  'checkIssuer',
  'checkTimes',
  'createProof',
  'fromAuthorizationDetails',
  'importSigner',
  'importVerifyKey',
  'jwkThumbprint',
  'readCapability',
  'toAuthorizationDetails',
  'verifyCapabilitySignature',
  'verifyProof',
];
const LINK = ['LINK_REASONS', 'LinkError', 'createLink', 'readLink', 'splitChain', 'verifyChain'];
const DELEGATION = ['DelegationError', 'checkChild', 'checkNextActor', 'deriveChild'];

it('exports exactly these names', () => {
  expect(Object.keys(scope).toSorted()).toEqual(SCOPE);
  expect(Object.keys(token).toSorted()).toEqual(TOKEN);
  expect(Object.keys(link).toSorted()).toEqual(LINK);
  expect(Object.keys(delegation).toSorted()).toEqual(DELEGATION);
  expect(Object.keys(capability).toSorted()).toEqual(
    [...SCOPE, ...TOKEN, ...LINK, ...DELEGATION].toSorted(),
  );
});
