import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  type Capability,
  capabilityPayload,
  createProof,
  importSigner,
  importVerifyKey,
  readCapability,
  type Signer,
  scope,
  verifyCapabilitySignature,
} from '@remit/capability';
import type { AuditRecord, PermissionJson } from '@remit/contracts';
import { expect } from 'vitest';
import { agent } from './registry-bodies.ts';
import { type Answer, ISSUER, startWorld, TOOL, type World } from './world.ts';

const TOKEN_URL = `${ISSUER}/token`;
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const JWT = 'urn:ietf:params:oauth:token-type:jwt';

/** Three of what a supplier's record admits; a child gets less. */
export const THREE: PermissionJson = {
  actions: ['suppliers.read', 'suppliers.risk.read', 'suppliers.notes.read'],
  resources: ['erp/suppliers/S-100'],
  args: [],
};
export const ONE: PermissionJson = { ...THREE, actions: ['suppliers.risk.read'] };

type Form = Parameters<World['post']>[0];

/** A world in which procurement-agent holds a token and risk-analyst may be next. */
export type HeldWorld = World & {
  readonly analyst: { client: Signer; proof: Signer };
  /** A token as this issuer signs it, to the key of procurement-agent. */
  held(
    changes?: Partial<Capability>,
    more?: { bearer: boolean },
  ): { token: string; capability: Capability };
  /** Signs any claims with the token key. */
  sign(claims: object, header?: object): string;
  actorToken(claims?: Record<string, unknown>, header?: Record<string, unknown>): string;
  /** Sends a delegation of `token`, with some parameters replaced or left out. */
  delegate(token: string, more?: Form, options?: { proof?: string | null }): Promise<Answer>;
  renew(token: string, more?: Form, options?: { proof?: string | null }): Promise<Answer>;
  proofFor(token: string, more?: Partial<Parameters<typeof createProof>[0]>): string;
  /** Opens what was handed out with the published keys. */
  open(token: unknown): Capability;
};

export async function startHeldWorld(
  options: Parameters<typeof startWorld>[0] = {},
): Promise<HeldWorld> {
  const world = await startWorld(options);
  const { clock } = world;
  const analyst = { client: newSigner(), proof: newSigner() };
  for (const tenant of world.services.tenants.values()) {
    const body = agent('risk-analyst', analyst.client, { launchers: [], task_types: [] });
    tenant.agents.set('risk-analyst', { body, status: 'active' });
    const origin = agent('origin-agent', newSigner());
    tenant.agents.set('origin-agent', { body: origin, status: 'active' });
  }
  const files = JSON.parse(readFileSync(world.tokenKeysFile, 'utf8')) as Record<
    string,
    { keys: unknown[] }
  >;
  const tokenKey = importSigner(files.acme?.keys[0]);
  const published = world.infra.keys.tokenPublicKeys('acme').map(importVerifyKey);

  const more: Omit<HeldWorld, keyof World> = {
    analyst,
    held(changes = {}, { bearer } = { bearer: false }) {
      const now = clock.nowSeconds();
      const capability: Capability = {
        issuer: ISSUER,
        audience: TOOL,
        id: randomUUID().replaceAll('-', ''),
        issuedAt: now,
        notBefore: now,
        expiresAt: now + 200,
        subject: 'alice',
        actors: ['procurement-agent'],
        clientId: 'procurement-agent',
        tenant: 'acme',
        task: { id: 'task_AAAAAAAAAAAAAAAAAAAAAA', type: 'supplier-risk-summary', purpose: 'p' },
        scope: scope([THREE]),
        lineage: [],
        depth: { used: 0, max: 2 },
        rev: { epoch: 'epoch-01', seq: 5 },
        status: { idx: 9, uri: 'http://revocation.test/t/acme/status/1' },
        policy: { version: 'sha256:policies', decision: 'decision-0' },
        confirmation: { jkt: world.proofKey.kid },
        links: true,
        ...changes,
      };
      const { confirmation: _, ...unbound } = capability;
      const made = bearer ? unbound : capability;
      return { token: more.sign(capabilityPayload(made)), capability: made };
    },
    sign: (claims, header = {}) => tokenKey.sign({ typ: 'at+jwt', ...header }, claims),
    actorToken: (claims = {}, header = {}) =>
      analyst.client.sign(
        { typ: 'remit-actor+jwt', ...header },
        {
          iss: 'risk-analyst',
          sub: 'risk-analyst',
          aud: ISSUER,
          jti: randomUUID(),
          iat: clock.nowSeconds(),
          exp: clock.nowSeconds() + 120,
          cnf: { jkt: analyst.proof.kid },
          ...claims,
        },
      ),
    proofFor: (token, proof = {}) =>
      createProof({
        signer: world.proofKey,
        method: 'POST',
        url: TOKEN_URL,
        accessToken: token,
        nowSeconds: clock.nowSeconds(),
        jti: randomUUID(),
        ...proof,
      }),
    delegate: async (token, form = {}, { proof = more.proofFor(token) } = {}) =>
      world.post(
        await world.form({
          subject_token: token,
          subject_token_type: ACCESS_TOKEN,
          actor_token: more.actorToken(),
          actor_token_type: JWT,
          resource: undefined,
          authorization_details: details(ONE),
          ...form,
        }),
        { proof },
      ),
    renew: async (token, form = {}, { proof = more.proofFor(token) } = {}) =>
      world.post(
        await world.form({
          subject_token: token,
          subject_token_type: ACCESS_TOKEN,
          resource: undefined,
          authorization_details: undefined,
          ...form,
        }),
        { proof },
      ),
    open: (token) => {
      const { payload } = verifyCapabilitySignature(String(token), {
        keys: (kid) => published.find((key) => key.kid === kid),
        algorithms: ['ML-DSA-65'],
      });
      return readCapability(payload);
    },
  };
  return Object.assign(world, more);
}

export function details(...permissions: PermissionJson[]): string {
  return JSON.stringify(
    permissions.map((permission) => ({ type: 'urn:remit:capability:1', ...permission })),
  );
}

/**
 * What every refusal of an authenticated client shows: an OAuth error with reason and record id, one
 * record with the same, nothing registered, so nothing signed, and no task.
 */
export async function expectRefused(
  world: HeldWorld,
  ask: () => Promise<Answer>,
  expected: { status?: number; error: string; reason: string; description?: string },
): Promise<{ body: Answer['body']; record: AuditRecord; principal: unknown }> {
  const tasks = await world.rows('tasks');
  world.services.asked.length = 0;
  const { status, body } = await ask();
  const [kept] = await world.records(1);
  expect({ status, error: body.error, reason: body.reason }).toEqual({
    status: expected.status ?? 400,
    error: expected.error,
    reason: expected.reason,
  });
  if (expected.description !== undefined) {
    expect(body.error_description).toBe(expected.description);
  }
  expect(body).not.toHaveProperty('access_token');
  expect(kept?.record).toMatchObject({
    id: body.record_id,
    event: 'token.refused',
    decision: 'deny',
    reason: expected.reason,
    client: 'procurement-agent',
    actor: 'procurement-agent',
  });
  expect(world.services.asked.map(({ method }) => method)).not.toContain('revocation.register');
  expect(await world.rows('tasks')).toEqual(tasks);
  return {
    body,
    record: kept?.record as AuditRecord,
    principal: kept?.disclosures['/principal']?.value,
  };
}

function newSigner(): Signer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return importSigner({ ...privateKey.export({ format: 'jwk' }) });
}
