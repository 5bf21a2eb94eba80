import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { testServers } from '@remit/testkit';
import { details, ONE, startHeldWorld } from '../../../services/issuer/src/test/held.ts';
import { agent } from '../../../services/issuer/src/test/registry-bodies.ts';
import type { Bench } from '../harness.ts';

type Ready = { form: string; proof: string };

/**
 * The issuer as production builds it, on a real bus, a real database without fsync and a real spool,
 * asked over HTTP on this machine. Registry, pdp and revocation answer at once: their own work has
 * cases of its own, and what is left is what the issuer and the way to them cost. Assertions, proofs
 * and subject tokens are made before a round. The baseline signs the bytes of such a token with
 * node:crypto alone.
 */
async function started() {
  const cleanup = new AsyncDisposableStack();
  const servers = testServers();
  cleanup.defer(() => servers.close());
  const world = cleanup.use(await startHeldWorld({ servers }));
  const url = `${await world.app.http.listen({ host: '127.0.0.1', port: 0 })}/t/acme/token`;
  const file = JSON.parse(readFileSync(world.tokenKeysFile, 'utf8')) as Record<
    string,
    { keys: object[] }
  >;
  const key = createPrivateKey({ key: { ...file['acme']?.keys[0] }, format: 'jwk' });
  const { token } = world.held();
  const signed = Buffer.from(token.slice(0, token.lastIndexOf('.')));

  async function send({ form, proof }: Ready): Promise<void> {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', dpop: proof },
      body: form,
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`the issuer said ${response.status}: ${text}`);
  }

  const encode = (form: Awaited<ReturnType<typeof world.form>>): string =>
    new URLSearchParams(
      Object.entries(form).flatMap(([name, value]) =>
        typeof value === 'string' ? [[name, value] as [string, string]] : [],
      ),
    ).toString();
  /** Operations that take what `make` made for them. */
  function queued(make: () => Promise<Ready>) {
    const ready: Ready[] = [];
    return {
      prepare: async (operations: number) => {
        ready.length = 0;
        for (let n = 0; n < operations; n++) ready.push(await make());
      },
      subject: async () => {
        const next = ready.pop();
        if (!next) throw new Error('nothing is ready');
        await send(next);
      },
    };
  }
  return {
    world,
    encode,
    queued,
    baseline: () => sign(null, signed, key),
    close: () => cleanup.disposeAsync(),
  };
}

const launch: Bench = {
  name: 'issue-launch',
  says: 'a client launches a task over HTTP: assertion, proof, ID token, decision, record, ML-DSA-65',
  baselineSays: 'one bare ML-DSA-65 signature of the same bytes',
  targetRatio: 4,
  perRound: 60,
  async setup() {
    const { world, encode, queued, baseline, close } = await started();
    const make = async () => ({ form: encode(await world.form()), proof: world.proof() });
    return { ...queued(make), baseline, close };
  },
};

const delegation = (depth: number): Bench => ({
  name: `issue-exchange-depth-${depth}`,
  says: `a holder hands part of a token on: the child is ${depth} hops from the first`,
  baselineSays: 'one bare ML-DSA-65 signature of the same bytes',
  perRound: 40,
  async setup() {
    const { world, encode, queued, baseline, close } = await started();
    const earlier = Array.from({ length: depth - 1 }, (_, n) => `agent-${n}`);
    const agents = world.services.tenants.get('acme')?.agents;
    for (const id of earlier) {
      agents?.set(id, { body: agent(id, world.analyst.client), status: 'active' });
    }
    const { token } = world.held({
      actors: [...earlier, 'procurement-agent'],
      lineage: earlier.map((id) => `token-of-${id}`),
      depth: { used: earlier.length, max: 8 },
    });
    const make = async () => ({
      form: encode({
        ...(await world.form()),
        subject_token: token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        actor_token: world.actorToken(),
        actor_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        authorization_details: details(ONE),
      }),
      proof: world.proofFor(token),
    });
    return { ...queued(make), baseline, close };
  },
});

export const issuances: readonly Bench[] = [launch, ...[1, 2, 3, 4, 5].map(delegation)];
