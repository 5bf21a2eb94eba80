import { inspect } from 'node:util';
import { verifyProof } from '@remit/capability';
import { describe, expect, it } from 'vitest';
import {
  type Answer,
  json,
  proofWindow,
  refusalOf,
  startedOn,
  TOKEN,
  TOOL,
} from './test-network.ts';

const challenged: Answer = () =>
  new Response('', {
    status: 401,
    headers: { 'www-authenticate': 'DPoP error="use_dpop_nonce"', 'dpop-nonce': 'n-7' },
  });

describe('a capability', () => {
  it('calls the tool with the token and a proof made for this one request', async () => {
    const { capability, to } = await startedOn({ [`${TOOL}/suppliers/S-100?x=1`]: () => json({}) });
    const url = `${TOOL}/suppliers/S-100?x=1`;
    await capability.fetch(url, { method: 'post', headers: { 'x-a': 'b' }, body: '{}' });
    await capability.fetch(new URL(url), { method: 'POST' });
    const proofs = to(url).map((call) => {
      expect(call.headers.get('authorization')).toBe(`DPoP ${TOKEN}`);
      expect(call.redirect).toBe('manual');
      return verifyProof({
        proof: call.headers.get('dpop') ?? '',
        method: 'POST',
        url: `${TOOL}/suppliers/S-100`,
        accessToken: TOKEN,
        ...proofWindow,
      });
    });
    expect(to(url)[0]?.headers.get('x-a')).toBe('b');
    expect(to(url)[0]?.body).toBe('{}');
    expect(proofs[0]?.jkt).toBe(proofs[1]?.jkt);
    expect(proofs[0]?.jti).not.toBe(proofs[1]?.jti);
  });

  // Red when `headers` compares no origin.
  it('never leaves for another origin than its audience', async () => {
    const { capability, calls } = await startedOn({});
    const before = calls.length;
    for (const url of [
      'https://erp.example.evil/x',
      'http://erp.example/x',
      'https://erp.example:444/x',
      'https://erp.example@evil.example/x',
      'https://evil.example/https://erp.example',
    ]) {
      const error = await refusalOf(capability.fetch(url));
      expect(error.code, url).toBe('WRONG_ORIGIN');
      expect(error.message).toBe("the URL is not on the origin of the token's audience");
      expect((await refusalOf(() => capability.headers('GET', url))).code).toBe('WRONG_ORIGIN');
    }
    expect((await refusalOf(capability.fetch('/suppliers'))).code).toBe('OPTION_INVALID');
    expect(calls).toHaveLength(before);
  });

  it('takes neither credentials nor redirects from its caller', async () => {
    const { capability, calls } = await startedOn({});
    const before = calls.length;
    for (const init of [
      { headers: { Authorization: 'Bearer x' } },
      { headers: { DPoP: 'x' } },
      { redirect: 'follow' as const },
    ]) {
      expect((await refusalOf(capability.fetch(`${TOOL}/x`, init))).code).toBe('OPTION_INVALID');
    }
    expect(calls).toHaveLength(before);
  });

  it('is hidden from JSON, inspection, spreading and logs', async () => {
    const { capability } = await startedOn({});
    const shown = [
      JSON.stringify(capability),
      inspect(capability, { depth: 10, showHidden: false }),
      JSON.stringify({ ...capability }),
    ].join('\n');
    expect(shown).not.toContain(TOKEN);
    expect(shown).not.toContain('signature');
    expect(Object.isFrozen(capability)).toBe(true);
    expect(Object.isFrozen(capability.permissions[0]?.actions)).toBe(true);
  });

  it('answers a nonce challenge of the tool once and keeps the nonce', async () => {
    const url = `${TOOL}/x`;
    let answers: Answer[] = [challenged, () => new Response('ok'), () => new Response('ok')];
    const { capability, to } = await startedOn({
      [url]: (call) => (answers.shift() ?? challenged)(call),
    });
    expect(await (await capability.fetch(url, { method: 'POST', body: 'a' })).text()).toBe('ok');
    await capability.fetch(url);
    const options = { url, accessToken: TOKEN, nonce: 'n-7', ...proofWindow };
    const sent = to(url);
    expect(sent.map(({ body }) => body)).toEqual(['a', 'a', '']);
    verifyProof({ proof: sent[1]?.headers.get('dpop') ?? '', method: 'POST', ...options });
    verifyProof({ proof: sent[2]?.headers.get('dpop') ?? '', method: 'GET', ...options });

    answers = [];
    expect((await capability.fetch(url)).status).toBe(401);
    expect(to(url)).toHaveLength(4);
  });

  // Red when an answer is compared with the nonce that another call has learnt meanwhile.
  it('answers the challenges of calls that were sent at once, each for itself', async () => {
    const url = `${TOOL}/x`;
    const { capability, to } = await startedOn({
      [url]: (call) => {
        const [, payload = ''] = (call.headers.get('dpop') ?? '').split('.');
        const { nonce } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
          nonce?: string;
        };
        return nonce === 'n-7' ? new Response('ok') : challenged(call);
      },
    });
    const answers = await Promise.all([1, 2, 3].map(() => capability.fetch(url)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(to(url)).toHaveLength(6);
  });

  // Red when `prove` is not given the body.
  it('proves the bytes that it sends, whatever they are made of', async () => {
    const url = `${TOOL}/x`;
    const { capability, to } = await startedOn({ [url]: () => new Response('ok') });
    const form = new FormData();
    form.set('a', 'b');
    const bodies: (NonNullable<RequestInit['body']> | null)[] = [
      '{"amount":1} ü',
      new URLSearchParams({ a: 'b c' }),
      new Uint8Array([123, 125]),
      new Blob(['blob'], { type: 'text/x' }),
      form,
      '',
      null,
    ];
    for (const body of bodies) {
      await capability.fetch(url, { method: 'POST', ...(body === null ? {} : { body }) });
      const sent = to(url).at(-1);
      verifyProof({
        proof: sent?.headers.get('dpop') ?? '',
        method: 'POST',
        url,
        accessToken: TOKEN,
        body: Buffer.from(sent?.body ?? ''),
        ...proofWindow,
      });
    }
    const types = to(url).map(({ headers }) => headers.get('content-type'));
    expect(types.slice(0, 4)).toEqual([
      'text/plain;charset=UTF-8',
      'application/x-www-form-urlencoded;charset=UTF-8',
      null,
      'text/x',
    ]);
    expect(types[4]).toMatch(/^multipart\/form-data; boundary=/);
    await capability.fetch(url, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    });
    expect(to(url).at(-1)?.headers.get('content-type')).toBe('application/json');
  });

  it('does not send a stream twice', async () => {
    const { capability, to } = await startedOn({ [`${TOOL}/x`]: challenged });
    const body = new Blob(['a']).stream();
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
    expect((await capability.fetch(`${TOOL}/x`, init)).status).toBe(401);
    expect(to(`${TOOL}/x`)).toHaveLength(1);
  });

  it('hands a refusal of the tool back as it is, and says when nothing answers', async () => {
    const { capability } = await startedOn({
      [`${TOOL}/x`]: () => json({ code: 'DENIED' }, 403),
    });
    expect((await capability.fetch(`${TOOL}/x`)).status).toBe(403);
    const error = await refusalOf(capability.fetch(`${TOOL}/gone`));
    expect(error.code).toBe('UNREACHABLE');
    expect(JSON.stringify(error.details)).toBe(`{"origin":"${TOOL}"}`);
  });
});
