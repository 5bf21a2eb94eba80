import { generateKeyPairSync } from 'node:crypto';
import { createProof, importSigner } from '@remit/capability/token';
import { fact, factsOf, type Step } from './step.ts';

export const stolen: Step = {
  id: 'stolen',
  title: 'The token is stolen',
  scene: [
    'Somebody copies Carol’s token from a log. They don’t have the agent’s key: they try their own, then Bearer,',
    'and then the agent’s own last proof once more.',
  ],
  expected: 'deny',
  async run(world) {
    const { terms } = world.memory;
    const url = `${world.erp.url}/contracts/C-7`;
    const attempts = [
      {
        reason: 'proof_key',
        tries: 'a proof with a key of their own',
        headers: { authorization: `DPoP ${terms.token}`, dpop: ownProof(terms.token, url) },
      },
      {
        reason: 'proof_scheme',
        tries: 'the token as a bearer token',
        headers: { authorization: `Bearer ${terms.token}` },
      },
    ];
    const used = terms.headers('GET', url);
    const first = await fetch(url, { headers: used });
    attempts.push({
      reason: 'proof_replayed',
      tries: 'the proof of the agent’s last call once more',
      headers: used as { authorization: string; dpop: string },
    });

    const facts = [fact('the agent itself is allowed', first.status, 200)];
    for (const { reason, tries, headers } of attempts) {
      const before = await world.erp.counts();
      const response = await fetch(url, { headers });
      const { code } = (await response.json()) as { code: string };
      const after = await world.erp.counts();
      facts.push(
        ...factsOf(`tries ${tries}`, [
          fact(`HTTP 401, ${reason}`, [response.status, code], [401, reason]),
          fact('ERP unchanged', after, before),
          // A stranger's call is counted, not listed: whatever it claims to be is not believed.
          fact('ledger: a stranger, counted', (await world.ledger.counted(reason)) >= 1, true),
        ]),
      );
    }
    return {
      actual: facts.every(({ ok }) => ok) ? 'deny' : 'error',
      reason: attempts.map(({ reason }) => reason).join(', '),
      facts,
    };
  },
};

function ownProof(token: string, url: string): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return createProof({
    signer: importSigner({ ...privateKey.export({ format: 'jwk' }), alg: 'ES256' }),
    method: 'GET',
    url,
    accessToken: token,
    nowSeconds: Date.now() / 1_000,
    jti: crypto.randomUUID(),
  });
}
