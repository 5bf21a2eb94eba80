import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createProof, importSigner, type Signer } from '@remit/capability/token';
import { expect } from 'vitest';
import type { Stage } from './stage.ts';

type Form = Record<string, string | string[] | undefined>;

export type Asked = {
  agent?: string;
  tenant?: string;
  /** `null`: none. */
  proof?: string | null;
  headers?: Record<string, string>;
};

export type Answered = { status: number; body: Record<string, unknown>; text: string };

/** The token endpoint of a running deployment, without the manners of a client library. */
export type TokenClient = {
  /** The registered key of an agent. */
  key(agent: string): Signer;
  assertion(agent: string, claims?: Record<string, unknown>): string;
  /** A proof with a nonce that the issuer gave. */
  proof(change?: Partial<Parameters<typeof createProof>[0]>): string;
  /** A launch of a supplier risk summary for Alice, with some parameters replaced or left out. */
  launch(change?: Form, asked?: Asked): Promise<Answered>;
  post(form: Form, asked?: Asked): Promise<Answered>;
  /**
   * Sees a request refused: the error, no task and no registration more than before, and the record
   * where the client had proved who it is, whose id is returned.
   */
  refused(
    request: () => Promise<Answered>,
    expected: { status?: number; error: string; reason?: string; client?: string },
  ): Promise<string>;
};

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** `authorization_details` of a launch: a task, and a list that the client wrote. */
export const details = (
  taskType: string,
  slots: Record<string, unknown>,
  permissions: object[] = [],
  more: object = {},
): string =>
  JSON.stringify([
    { type: 'urn:remit:task:1', task_type: taskType, slots, ...more },
    ...permissions.map((each) => ({ type: 'urn:remit:capability:1', ...each })),
  ]);

export async function tokenClient(stage: Stage): Promise<TokenClient> {
  const { dev } = stage.demo;
  const idToken = await stage.world.signIn('alice');
  const url = (tenant: string) => `${stage.demo.stack.urls['issuer']}/t/${tenant}/token`;
  const now = () => Math.floor(Date.now() / 1_000);
  const key = (agent: string): Signer => {
    const file = dev.clients.find(({ id }) => id === agent)?.key_file ?? '';
    return importSigner((JSON.parse(readFileSync(file, 'utf8')) as { keys: object[] }).keys[0]);
  };

  let nonce: string | undefined;
  const client: TokenClient = {
    key,
    assertion: (agent, claims = {}) =>
      key(agent).sign(
        { typ: 'client-authentication+jwt' },
        {
          iss: agent,
          sub: agent,
          aud: dev.issuer,
          jti: randomUUID(),
          iat: now(),
          exp: now() + 60,
          ...claims,
        },
      ),
    proof: (change = {}) =>
      createProof({
        signer: stage.proofKey,
        method: 'POST',
        url: url('acme'),
        nowSeconds: now(),
        jti: randomUUID(),
        nonce,
        ...change,
      }),
    launch: (change = {}, asked = {}) =>
      client.post(
        {
          subject_token: idToken,
          subject_token_type: ID_TOKEN,
          resource: dev.erp_audience,
          authorization_details: details('supplier-risk-summary', { supplier: 'S-100' }),
          ...change,
        },
        asked,
      ),
    async post(form, asked = {}) {
      const { agent = 'procurement-agent', tenant = 'acme', proof = client.proof() } = asked;
      const all: Form = {
        grant_type: EXCHANGE,
        client_assertion_type: JWT_BEARER,
        client_assertion: 'client_assertion' in form ? undefined : client.assertion(agent),
        ...form,
      };
      const pairs = Object.entries(all).flatMap(([name, value]) =>
        value === undefined ? [] : [value].flat().map((one) => [name, one] as [string, string]),
      );
      const response = await fetch(url(tenant), {
        method: 'POST',
        headers: { ...(proof === null ? {} : { dpop: proof }), ...asked.headers },
        body: new URLSearchParams(pairs),
      });
      const text = await response.text();
      nonce = response.headers.get('dpop-nonce') ?? nonce;
      return { status: response.status, body: JSON.parse(text) as Answered['body'], text };
    },
    async refused(request, expected) {
      const { status = 400, error, reason, client: by = 'procurement-agent' } = expected;
      const made = () => stage.rows(['issuer.tasks', 'revocation.registration']);
      const before = await made();
      const answer = await request();
      expect([answer.status, answer.body['error'], answer.body['reason']]).toEqual([
        status,
        error,
        reason,
      ]);
      expect(answer.body['access_token']).toBeUndefined();
      expect(answer.text).not.toMatch(/node:|\.ts\b|stack|select |postgres/i);
      expect(await made()).toEqual(before);
      if (reason === undefined) return 'none';
      const id = String(answer.body['record_id']);
      stage.expectRecord(id, {
        event: 'token.refused',
        decision: 'deny',
        reason,
        record: { act_chain: expect.arrayContaining([by]), client: by },
      });
      return id;
    },
  };
  const { body } = await client.launch();
  expect([body['error'], nonce]).toEqual(['use_dpop_nonce', expect.any(String)]);
  return client;
}
