import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../test/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld({ nonceSeconds: 120 });
});
afterAll(() => world[Symbol.asyncDispose]());

async function nonceOf(): Promise<string> {
  const { headers } = await world.ask();
  return String(headers['dpop-nonce']);
}

describe('a proof at the token endpoint', () => {
  // Red when `requireNonce` is not asked, or is asked after the client was authenticated.
  it('without a nonce is asked to come again with one, and has used up nothing', async () => {
    const form = await world.form();
    world.services.asked.length = 0;
    const { status, headers, body } = await world.post(form);
    expect({ status, body }).toEqual({
      status: 400,
      body: {
        error: 'use_dpop_nonce',
        error_description: 'The DPoP proof needs a nonce of this issuer.',
      },
    });
    const nonce = String(headers['dpop-nonce']);
    expect(nonce).toMatch(/^[A-Za-z0-9_-]{27}$/);
    expect(headers['cache-control']).toBe('no-store');
    expect(world.services.asked).toEqual([]);
    expect(await world.rows('assertions')).toEqual([]);
    expect(await world.rows('dpop_proofs')).toEqual([]);

    const again = await world.post(form, { proof: world.proof({ nonce }) });
    expect([again.status, again.body.token_type]).toEqual([200, 'DPoP']);
    expect(again.headers['dpop-nonce']).toMatch(/^[A-Za-z0-9_-]{27}$/);
    const [kept] = await world.records(1);
    expect(kept?.record.event).toBe('token.issued');
  });

  it('may carry one nonce more than once, but be used once', async () => {
    const nonce = await nonceOf();
    const proof = world.proof({ nonce });
    expect((await world.ask({}, { proof })).status).toBe(200);
    expect((await world.ask({}, { proof: world.proof({ nonce }) })).status).toBe(200);
    expect((await world.ask({}, { proof })).body.reason).toBe('proof_replayed');
    await world.records(3);
  });

  // Red when age, tenant or MAC of a nonce are not looked at.
  it('is asked again with a nonce that is old, another tenant’s, changed or made up', async () => {
    const nonce = await nonceOf();
    const globex = await world.post(await world.form(), { tenant: 'globex' });
    const bytes = Buffer.from(nonce, 'base64url');
    const later = Buffer.from(bytes);
    later.writeUInt32BE(later.readUInt32BE() + 1);
    const wrong = [
      String(globex.headers['dpop-nonce']),
      later.toString('base64url'),
      `${nonce}=`,
      nonce.slice(0, -1),
      '',
      'x'.repeat(2_000),
    ];
    for (const [i, one] of wrong.entries()) {
      const { status, body } = await world.ask({}, { proof: world.proof({ nonce: one }) });
      expect([status, body.error], String(i)).toEqual([400, 'use_dpop_nonce']);
    }
    world.clock.advance(120_000);
    expect((await world.ask({}, { proof: world.proof({ nonce }) })).status).toBe(200);
    world.clock.advance(1_000);
    const { body } = await world.ask({}, { proof: world.proof({ nonce }) });
    expect(body.error).toBe('use_dpop_nonce');
    await world.records(1);
  });

  // Red when the nonce that was read is not the one that the signature covers.
  it('is held to its nonce by its signature', async () => {
    const nonce = await nonceOf();
    const [head = '', , signature = ''] = world.proof({ nonce: 'old' }).split('.');
    const [, payload = ''] = world.proof({ nonce }).split('.');
    const { body } = await world.ask({}, { proof: `${head}.${payload}.${signature}` });
    expect([body.error, body.reason]).toEqual(['invalid_dpop_proof', 'proof_invalid']);
    await world.records(1);
  });

  it('that is none at all is refused, not asked again; without one nothing is asked', async () => {
    const bad = await world.ask({}, { proof: 'x' });
    expect([bad.body.error, bad.body.reason]).toEqual(['invalid_dpop_proof', 'proof_invalid']);
    const none = await world.ask({}, { proof: null });
    expect([none.body.error, none.body.reason]).toEqual(['invalid_request', 'proof_required']);
    expect(none.headers).not.toHaveProperty('dpop-nonce');
    await world.records(2);
  });
});

describe('two replicas on one database', () => {
  // Red when nonces or the replay memory are a replica's own.
  it('take each other’s nonces, and neither takes what the other has seen', async () => {
    await using second = await world.replica();
    const nonce = await nonceOf();
    const proof = world.proof({ nonce });
    const form = await world.form();
    const there = await second.post(form, { proof });
    expect(there.status).toBe(200);
    const assertionAgain = await world.post(form, { proof: world.proof({ nonce }) });
    expect([assertionAgain.status, assertionAgain.body]).toEqual([
      401,
      { error: 'invalid_client', error_description: 'client_assertion was used before.' },
    ]);
    const proofAgain = await world.ask({}, { proof });
    expect([proofAgain.status, proofAgain.body.reason]).toEqual([400, 'proof_replayed']);

    const both = await world.form();
    const twice = world.proof({ nonce });
    const answers = await Promise.all([
      world.post(both, { proof: twice }),
      second.post(both, { proof: twice }),
    ]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 401]);
    await world.records(5);
  });
});
