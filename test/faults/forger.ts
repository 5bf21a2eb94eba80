import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connectBus } from '@remit/bus';
import { makeCloudEvent, type Rev, SIGNED, subjects } from '@remit/contracts';
import type { World } from './world.ts';

/** Somebody who may publish on the feed's subjects, but has none of its keys. */
export type Forger = AsyncDisposable & {
  /** Says on the bus that a task is revoked, under the name of the feed's key. */
  revokeTask(id: string, tool: string): Promise<void>;
};

export async function openForger(world: World): Promise<Forger> {
  const { stack, dev, note } = world;
  const bus = await connectBus({
    url: stack.urls['nats'] as string,
    user: 'revocation',
    seed: readFileSync(stack.bus.seedFile('revocation'), 'utf8').trim(),
    name: 'forger',
  });
  const kid = stack.keys.publicKeys(stack.keys.signerFile('revocation-bus'))[0]?.kid;
  const { privateKey } = generateKeyPairSync('ed25519');
  return {
    async revokeTask(id, tool) {
      const health = await fetch(`${stack.plan.url(tool)}/healthz`, {
        signal: AbortSignal.timeout(1_000),
      });
      const { rev } = (await health.json()) as { rev?: Rev };
      if (!rev) return;
      const now = new Date();
      const fields = { id: randomUUID(), source: 'revocation', time: now.toISOString() };
      const event = makeCloudEvent(
        'revocation.revoked',
        { ...fields, subject: dev.tenant },
        {
          epoch: rev.epoch,
          seq: rev.seq + 1,
          verb: 'revoke',
          kind: 'task',
          id,
          at: Math.floor(now.getTime() / 1_000),
        },
      );
      const header = { alg: 'Ed25519', kid, typ: SIGNED.revocation };
      const signed = [header, event]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
      const signature = sign(null, Buffer.from(signed), privateKey).toString('base64url');
      note({ kind: 'forged', says: 'a revocation signed by nobody', id });
      bus.publish(subjects.revocation(dev.tenant), Buffer.from(`${signed}.${signature}`));
      await bus.flush();
    },
    [Symbol.asyncDispose]: () => bus.close(),
  };
}
