import { type Bus, createVerifier } from '@remit/bus';
import type { ClaimRequest } from '@remit/contracts';
import { createDatabase, createLogger, type Database } from '@remit/service-kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from './app.ts';
import { forgetClaims, insertClaims } from './store/claims.ts';
import type { Tables } from './store/tables.ts';
import { configOf, connectPep, createRig, newId, type Rig, TENANT } from './test/rig.ts';

let rig: Rig;
let peps: Bus[];
let database: Database<Tables>;
beforeAll(async () => {
  rig = await createRig();
  const { infra, cleanup } = rig;
  // Two replicas answer, so that what one knows only in its memory shows.
  const second = await build(configOf(infra));
  cleanup.defer(() => second.stop());
  await second.start();
  const other = await connectPep(infra, 'erp-2');
  cleanup.defer(() => other.close());
  peps = [rig.pep, other];
  database = await createDatabase<Tables>({
    url: infra.databaseUrl('revocation'),
    schema: 'revocation',
    log: createLogger({ service: 'test', instance: 't', level: 'fatal' }),
    insecure: true,
  });
  cleanup.defer(() => database.close());
});
afterAll(() => rig[Symbol.asyncDispose]());

const newProof = () => `${newId()}${newId()}`.slice(0, 43);
const claim = (over: Partial<ClaimRequest> = {}, pep = 0) =>
  (peps[pep] as Bus).call(
    'revocation.claim',
    TENANT,
    { proof: newProof(), attempt: newId(), keep_seconds: 60, ...over },
    { verifier: createVerifier({ keys: rig.infra.trust().keys.revocation }) },
  );
const rowsOf = (proof: string, tenant = TENANT) =>
  database.withTenant(tenant, (trx) =>
    trx.selectFrom('proof_claim').selectAll().where('proof', '=', proof).execute(),
  );

describe('a claim of a proof', () => {
  // Goes red without the unique key, or when a replica remembers by itself.
  it('is won once, over PEPs and replicas, however many ask at a time', async () => {
    for (let round = 0; round < 5; round++) {
      const proof = newProof();
      const answers = await Promise.all(
        Array.from({ length: 16 }, (_, at) => claim({ proof }, at % 2)),
      );
      expect(answers.filter(({ outcome }) => outcome === 'claimed')).toHaveLength(1);
      expect(await rowsOf(proof)).toHaveLength(1);
    }
  });

  it('is answered alike however often the same attempt asks, and to its PEP alone', async () => {
    const [proof, attempt] = [newProof(), newId()];
    expect(await claim({ proof, attempt })).toEqual({ outcome: 'claimed' });
    expect(await claim({ proof, attempt })).toEqual({ outcome: 'claimed' });
    expect(await claim({ proof, attempt }, 1)).toEqual({ outcome: 'replayed' });
    expect(await claim({ proof })).toEqual({ outcome: 'replayed' });
  });

  it('is refused when it is not a digest, or is to be kept for ever or not at all', async () => {
    for (const wrong of [
      { proof: 'x' },
      { proof: `${newProof()}A` },
      { attempt: 'a' },
      { keep_seconds: 0 },
      { keep_seconds: 901 },
    ]) {
      await expect(claim(wrong)).rejects.toMatchObject({ code: expect.any(String) });
    }
  });

  it('of one tenant says nothing to another', async () => {
    const proof = newProof();
    await claim({ proof });
    expect(await rowsOf(proof, 'globex')).toEqual([]);
  });

  it('is kept as long as it was asked to be, and then deleted', async () => {
    const [over, kept] = [newProof(), newProof()];
    const row = (proof: string, keepSeconds: number) => ({
      proof,
      keepSeconds,
      attempt: newId(),
      pep: 'erp-1',
    });
    await database.withTenant('globex', (trx) =>
      insertClaims(trx, 'globex', [row(over, -5), row(kept, 60)]),
    );
    expect(await forgetClaims(database)).toBe(1);
    expect(await rowsOf(over, 'globex')).toEqual([]);
    expect(await rowsOf(kept, 'globex')).toHaveLength(1);
  });
});
