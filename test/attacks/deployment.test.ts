import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { budgets } from './rows/budgets.ts';
import { delegations } from './rows/delegation.ts';
import { forgedTokens } from './rows/forged-tokens.ts';
import { ledger } from './rows/ledger.ts';
import { libraries } from './rows/libraries.ts';
import { chains } from './rows/links.ts';
import { policies } from './rows/policies.ts';
import { stolenTokens } from './rows/proofs.ts';
import { strangers } from './rows/strangers.ts';
import { surfaces } from './rows/surfaces.ts';
import { tokenRequests } from './rows/token-requests.ts';
import { wire } from './rows/wire.ts';
import { openStage, type Stage, summaryOf } from './stage.ts';

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
describe('orders against a budget', () => budgets(at));
describe('bytes on the wire', () => wire(at));
describe('guardrails', () => policies(at));
describe('the ledger', () => ledger(at));
describe('libraries that nobody here wrote', () => libraries(at));
describe('chains that are handed on offline', () => chains(at));

test('every refusal of a known caller above is recorded', async () => {
  await stage.everyRefusalIsRecorded();
}, 60_000);

test('every stranger above is counted in the ledger', async () => {
  await stage.everyStrangerIsCounted();
});

// The last one: it ends every token there is.
test('row 14: a signing key that is revoked signs nothing any more, published or not', async () => {
  const { token } = await summaryOf(stage);
  const call = () =>
    fetch(`${stage.world.erp.url}/suppliers/S-100`, { headers: stage.credentials(token) });
  expect((await call()).status).toBe(200);
  const { kid } = stage.tokenKey('acme');
  await stage.world.revoke('dora', { kind: 'key', id: kid });
  const ms = await stage.world.until(async () => (await call()).status === 401);
  expect(ms).toBeLessThan(3_000);
  const by = { user: 'alice', agents: ['procurement-agent'] };
  await stage.refused(
    { headers: stage.credentials(token) },
    { status: 401, reason: 'key_revoked', by },
  );
  await stage.everyRefusalIsRecorded();
  await expect(summaryOf(stage)).rejects.toMatchObject({ code: 'UNREACHABLE' });
});
