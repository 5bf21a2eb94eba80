import type { Bus, Verifier } from '@remit/bus';
import { bodyDigest, canonicalText } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { createLookupClient } from './directory.ts';

const role = canonicalText({ kind: 'role', id: 'reader', permissions: [] });
const digest = bodyDigest(role);

function client(text: string, maxBodies?: number) {
  const asked: unknown[] = [];
  const bus = {
    call: async (method: string, tenant: string, body: { digest: string }) => {
      asked.push([method, tenant, body]);
      return { digest: body.digest, text };
    },
  } as unknown as Pick<Bus, 'call'>;
  const options = { bus, verifier: {} as Verifier, ...(maxBodies ? { maxBodies } : {}) };
  return { asked, directory: createLookupClient(options) };
}

describe('a body from the registry', () => {
  it('is asked for once and kept, frozen, per tenant', async () => {
    const { asked, directory } = client(role);
    const body = await directory.body('acme', digest, 'role');
    expect(await directory.body('acme', digest, 'role')).toBe(body);
    expect(Object.isFrozen(body.permissions)).toBe(true);
    await directory.body('globex', digest, 'role');
    expect(asked).toEqual([
      ['registry.body', 'acme', { digest }],
      ['registry.body', 'globex', { digest }],
    ]);
  });

  it('goes when there are more than may be kept', async () => {
    const { asked, directory } = client(role, 1);
    for (const tenant of ['acme', 'globex', 'acme']) await directory.body(tenant, digest, 'role');
    expect(asked).toHaveLength(3);
  });

  // Red when readBody does not compare the digest.
  it('is refused when its text is another one', async () => {
    const { directory } = client(role.replace('reader', 'boss'));
    await expect(directory.body('acme', digest, 'role')).rejects.toMatchObject({
      code: 'BODY_INVALID',
      message: 'a registry body is not the one that was asked for',
    });
  });

  it('is refused when it is of another kind or follows no schema', async () => {
    const { directory } = client(role);
    await expect(directory.body('acme', digest, 'agent')).rejects.toMatchObject({
      code: 'BODY_INVALID',
      message: 'a registry body is of another kind',
    });
    const odd = canonicalText({ kind: 'role', id: 'reader' });
    await expect(client(odd).directory.body('acme', bodyDigest(odd), 'role')).rejects.toMatchObject(
      {
        code: 'BODY_INVALID',
        message: 'a registry body is not readable',
      },
    );
  });
});
