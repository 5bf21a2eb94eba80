import { afterAll, beforeAll, describe, test } from 'vitest';
import { delegations } from './rows/delegation.ts';
import { forgedTokens } from './rows/forged-tokens.ts';
import { stolenTokens } from './rows/proofs.ts';
import { strangers } from './rows/strangers.ts';
import { surfaces } from './rows/surfaces.ts';
import { tokenRequests } from './rows/token-requests.ts';
import { wire } from './rows/wire.ts';
import { openStage, type Stage } from './stage.ts';

// One running deployment for all rows: services as processes, PostgreSQL, NATS, an IdP and a tool.

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage?.[Symbol.asyncDispose]());
const at = () => stage;

describe('forged tokens at the tool', () => forgedTokens(at));
describe('stolen tokens at the tool', () => stolenTokens(at));
describe('requests at the token endpoint', () => tokenRequests(at));
describe('strangers at the token endpoint', () => strangers(at));
describe('delegations at the token endpoint', () => delegations(at));
describe('surfaces around the token', () => surfaces(at));
describe('bytes on the wire', () => wire(at));

test('every refusal of a known caller above is recorded', async () => {
  await stage.everyRefusalIsRecorded();
}, 60_000);

test('every stranger above is counted in the ledger', async () => {
  await stage.everyStrangerIsCounted();
});
