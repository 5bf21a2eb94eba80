import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createSigner, createVerifier } from '@remit/bus';
import { conform, type RevocationEntry, SIGNED, sinceResponse } from '@remit/contracts';
import { createRevocationView } from '@remit/revocation-view';
import {
  beatOf,
  entryOf,
  headOf,
  headsOf,
  snapshotOf,
  subjectsOf,
} from '../../../packages/revocation-view/src/view.testing.ts';
import type { Bench } from '../harness.ts';

const REVOKED = 100_000;
const MISSED = 10_000;
const PAGE = 2_000;

const newId = (): string => randomBytes(16).toString('base64url');
const idsOf = (count: number): string[] => Array.from({ length: count }, newId);
const entriesOf = (ids: readonly string[], after = 0): RevocationEntry[] =>
  ids.map((id, at) => entryOf({ seq: after + at + 1, id, ends: 4_000_000_000 }));

/** A fresh view that holds these, at feed time 1,000,000 and the caller's 0. */
function viewOf(ids: readonly string[]) {
  const view = createRevocationView({ tenant: 'acme', hashSeed: 7, wallMs: Date.now });
  view.applyHead(headOf({ seq: ids.length }), 0, 0);
  view.applySnapshot([snapshotOf(ids.length, entriesOf(ids))]);
  view.applyBeat(beatOf({ heads: headsOf(ids.length) }), 0);
  return view;
}

/** Bytes in use after everything unreachable was collected. */
function bytesInUse(): number {
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Fills a view and says what it holds, without the entries that it was given. */
function measuredView(ids: readonly string[]) {
  const before = bytesInUse();
  const view = viewOf(ids);
  const megabytes = (bytesInUse() - before) / 1_000_000;
  process.stderr.write(`a view of ${ids.length} single revocations: ${megabytes.toFixed(1)} MB\n`);
  return view;
}

const check: Bench = {
  name: 'view-check-100000',
  says: `a view of ${REVOKED} single revocations judges a live token with two ancestors`,
  baselineSays: 'the same three ids looked up in a Map of as many strings',
  perRound: 50_000,
  setup: async () => {
    const ids = idsOf(REVOKED);
    const view = measuredView(ids);
    const known = new Map(ids.map((id, at) => [id, at]));
    const live = Array.from({ length: 512 }, () =>
      subjectsOf({
        jti: newId(),
        lineage: [newId(), newId()],
        rev: { epoch: 'epoch-01', seq: REVOKED },
      }),
    );
    let at = 0;
    return {
      subject: () => {
        const { verdict } = view.check(live[at++ & 511] as (typeof live)[0], 1);
        if (verdict !== 'live') throw new Error(`the view said ${verdict}`);
      },
      baseline: () => {
        const { jti, lineage } = live[at++ & 511] as (typeof live)[0];
        if (known.has(jti) || lineage.some((id) => known.has(id))) throw new Error('found');
      },
    };
  },
};

const catchUp: Bench = {
  name: 'view-catch-up-60s',
  says: `a view that was cut off for 60 s takes in ${MISSED} revocations of meanwhile, from signed pages until it is fresh`,
  baselineSays: 'the signatures of the same pages verified and their JSON parsed',
  perRound: 10,
  setup: async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const signer = createSigner({ keys: [privateKey.export({ format: 'jwk' })] });
    const verifier = createVerifier(signer.publicJwks());
    const before = idsOf(1_000);
    const missed = entriesOf(idsOf(MISSED), before.length);
    const head = before.length + MISSED;
    const pages = Array.from({ length: MISSED / PAGE }, (_, page) =>
      signer.sign(
        SIGNED.reply,
        JSON.stringify({
          epoch: 'epoch-01',
          head,
          entries: missed.slice(page * PAGE, (page + 1) * PAGE),
          more: page < MISSED / PAGE - 1,
        }),
      ),
    );
    const read = (jws: string): unknown =>
      JSON.parse(Buffer.from(verifier.verify(SIGNED.reply, jws)).toString('utf8'));
    let views: ReturnType<typeof viewOf>[] = [];
    return {
      prepare: async (operations) => {
        views = Array.from({ length: operations }, () => viewOf(before));
      },
      subject: () => {
        const view = views.pop();
        if (view === undefined) throw new Error('no view is left');
        view.applyHead(headOf({ seq: head, time: 1_060_000 }), 60_000, 60_000);
        for (const jws of pages) view.applySince(conform(sinceResponse, read(jws)));
        view.applyBeat(beatOf({ n: 2, time: 1_060_000, heads: headsOf(head) }), 60_000);
        if (!view.fresh(60_001)) throw new Error('the view is not fresh');
      },
      baseline: () => {
        for (const jws of pages) read(jws);
      },
    };
  },
};

export const views: readonly Bench[] = [check, catchUp];
