import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { scope } from '@remit/capability/scope';
import { capabilityPayload, createProof, importSigner, type Signer } from '@remit/capability/token';
import { AccessDenied, createPep, guard, type Pep } from '@remit/pep';
import type { TcpProxy } from '@remit/stack';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { build } from '../../services/revocation/src/app.ts';
import { configOf, createRig, type Rig, until } from '../../services/revocation/src/test/rig.ts';
import { verifies } from './requirements.ts';

// A PEP as a tool has it, behind a line that can be cut; the revocation service as production builds
// it; a real bus and database; tokens signed with the tenant's real key. Nothing between them is faked.

const AUDIENCE = 'https://erp.test';
const MAX_STALE_MS = 1_000;
let rig: Rig;
let line: TcpProxy;
let pep: Pep;
let issuerKey: Signer;
let holder: Signer;
let ran = 0;
const newId = () => randomBytes(16).toString('base64url');
const keyIn = (file: string) =>
  importSigner((JSON.parse(readFileSync(file, 'utf8')) as { keys: object[] }).keys[0]);

beforeAll(async () => {
  rig = await createRig();
  await rig.ready();
  const { infra } = rig;
  const tokenKeys = JSON.parse(readFileSync(infra.keys.tokenKeysFile, 'utf8')) as {
    acme: { keys: object[] };
  };
  issuerKey = importSigner(tokenKeys.acme.keys[0]);
  holder = keyIn(infra.keys.agentProofFile('procurement-agent'));
  const through = await infra.throughProxy(infra.natsUrl);
  line = through.proxy;
  pep = await createPep({
    tenant: 'acme',
    audience: AUDIENCE,
    trust: infra.trust(),
    nats: { url: through.url, ...infra.pepCreds('acme', 'erp-1') },
    spoolDir: join(infra.tmpDir, 'spool-erp-1'),
    maxStaleMs: MAX_STALE_MS,
    fetch: async () => Response.json({ keys: infra.keys.tokenPublicKeys('acme') }),
  });
});
afterAll(async () => {
  await pep?.close();
  await rig?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  ran = 0;
});

/** Mints as the issuer does: check first, then register, then sign. */
async function mint(over: { user?: string; actor?: string } = {}) {
  const { head } = await rig.check([]);
  const now = Math.floor(Date.now() / 1_000);
  const actor = over.actor ?? 'procurement-agent';
  const capability = {
    issuer: rig.infra.trust().tenants['acme']?.issuer as string,
    audience: AUDIENCE,
    id: newId(),
    issuedAt: now,
    notBefore: now,
    expiresAt: now + 300,
    subject: over.user ?? 'alice',
    actors: [actor],
    clientId: actor,
    tenant: 'acme',
    task: { id: `task_${newId()}`, type: 'supplier-risk-summary' },
    scope: scope([{ actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] }]),
    lineage: [],
    depth: { used: 0, max: 2 },
    rev: head,
    policy: { version: 'v1', decision: newId() },
    confirmation: { jkt: holder.kid },
    links: false,
  };
  const registered = await rig.register({
    jti: capability.id,
    lineage: [],
    rev: head,
    task: capability.task.id,
    actors: [actor],
    user: capability.subject,
    client: actor,
    keys: [issuerKey.kid, holder.kid],
  });
  const status = { idx: registered.idx, uri: registered.uri };
  const token = issuerKey.sign({ typ: 'at+jwt' }, capabilityPayload({ ...capability, status }));
  return { token, ...capability };
}

/** One call with a proof of its own: `allowed`, or why not. */
async function call(token: string): Promise<string> {
  const url = `${AUDIENCE}/suppliers/S-100`;
  const read = guard(
    pep,
    { action: 'suppliers.read', resource: (id: string) => `erp/suppliers/${id}`, args: () => ({}) },
    () => {
      ran += 1;
      return 'allowed';
    },
  );
  const nowSeconds = Date.now() / 1_000;
  const proof = createProof({
    signer: holder,
    method: 'GET',
    url,
    accessToken: token,
    nowSeconds,
    jti: newId(),
  });
  try {
    return await read({ authorization: `DPoP ${token}`, proof, method: 'GET', url }, 'S-100');
  } catch (cause) {
    if (cause instanceof AccessDenied) return cause.refused.reason;
    throw cause;
  }
}

const becomes = async (token: string, expected: string) => {
  const startedAt = performance.now();
  await until(async () => expect(await call(token)).toBe(expected));
  return performance.now() - startedAt;
};

describe('a token at a tool', () => {
  it('is allowed until its task is revoked, and refused within a second of the acknowledgement', async () => {
    verifies('revoked-within-a-second');
    const { token, task } = await mint();
    expect(await call(token)).toBe('allowed');
    await rig.revoke('task', task.id);
    expect(await becomes(token, 'task_revoked')).toBeLessThan(1_000);
    const before = ran;
    expect(await call(token)).toBe('task_revoked');
    expect(ran).toBe(before);
  });

  it.each([
    ['token', 'token_revoked', (minted: Awaited<ReturnType<typeof mint>>) => minted.id],
    ['user', 'user_revoked', () => 'bob'],
    ['agent', 'agent_revoked', () => 'risk-analyst'],
    ['client', 'client_revoked', () => 'report-writer'],
  ] as const)(
    'is refused when its %s is revoked, and what is minted after it is not',
    async (kind, reason, idOf) => {
      verifies('revoked-by-every-kind');
      const who = {
        ...(kind === 'user' ? { user: 'bob' } : {}),
        ...(kind === 'agent' ? { actor: 'risk-analyst' } : {}),
        ...(kind === 'client' ? { actor: 'report-writer' } : {}),
      };
      const old = await mint(who);
      expect(await call(old.token)).toBe('allowed');
      await rig.revoke(kind, idOf(old));
      await becomes(old.token, reason);
      const young = await mint(who);
      expect(await call(young.token)).toBe('allowed');
      expect(await call(old.token)).toBe(reason);
    },
  );

  it('is allowed by a view that is behind it only after the view caught up', async () => {
    verifies('ahead-waits');
    const minted = await Promise.all([mint(), mint(), mint()]);
    await Promise.all(minted.slice(1).map(({ task }) => rig.revoke('task', task.id)));
    const newest = await mint();
    // The newest token knows of both revocations; whoever allows it knows of them too.
    expect(await call(newest.token)).toBe('allowed');
    expect(await call(minted[1].token)).toBe('task_revoked');
    expect(await call(minted[2].token)).toBe('task_revoked');
    expect(await call(minted[0].token)).toBe('allowed');
  });
});

describe('a tool that is cut off from the bus', () => {
  // Goes red when fresh() no longer looks at the age of the youngest beat.
  it.each(['cut', 'freeze'] as const)(
    'by a line that is %s allows nothing after its bound, what was revoked meanwhile included, and heals by itself',
    async (how) => {
      verifies('stale-denies');
      const kept = await mint();
      const doomed = await mint();
      expect(await call(kept.token)).toBe('allowed');
      expect(await call(doomed.token)).toBe('allowed');
      line[how]();
      await rig.revoke('task', doomed.task.id);
      expect(await becomes(kept.token, 'status_stale')).toBeLessThan(MAX_STALE_MS + 1_000);
      const before = ran;
      expect(await call(doomed.token)).toBe('status_stale');
      expect(await call(kept.token)).toBe('status_stale');
      expect(ran).toBe(before);
      line.heal();
      await becomes(kept.token, 'allowed');
      expect(await call(doomed.token)).toBe('task_revoked');
    },
  );

  it('is like one whose revocation service is gone, and takes a new one without a restart', async () => {
    const { token } = await mint();
    expect(await call(token)).toBe('allowed');
    await rig.app.stop();
    expect(await becomes(token, 'status_stale')).toBeLessThan(MAX_STALE_MS + 1_000);
    const next = await build(configOf(rig.infra), { fetch: rig.people.fetch, lostAfterMs: 1_500 });
    await next.start();
    try {
      await becomes(token, 'allowed');
    } finally {
      await next.stop();
    }
  });
});
