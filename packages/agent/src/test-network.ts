import { generateKeyPairSync } from 'node:crypto';
import { AgentError, createAgent, type Fetch } from './index.ts';

export const ISSUER = 'https://issuer.example/t/acme';
export const TOOL = 'https://erp.example';
export const NOW_MS = 1_800_000_000_000;
export const NOW_SECONDS = NOW_MS / 1000;
export const TOKEN = 'header.payload.signature';
export const METADATA = {
  issuer: ISSUER,
  token_endpoint: `${ISSUER}/token`,
  token_endpoint_auth_methods_supported: ['private_key_jwt'],
};
export const READ = { actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] };
export const GRANT = {
  access_token: TOKEN,
  issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  token_type: 'DPoP',
  expires_in: 300,
  authorization_details: [{ type: 'urn:remit:capability:1', ...READ }],
  task: { id: 'task_1', type: 'supplier-risk-summary', until: NOW_SECONDS + 3600 },
};
export const TASK = {
  idToken: 'id-token-of-alice',
  taskType: 'supplier-risk-summary',
  slots: { supplier: 'S-100' },
  resource: TOOL,
};

type Call = { url: string; method: string; headers: Headers; body: string; redirect: unknown };
export type Answer = (call: Call) => Response;

export const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  Response.json(body, { status, headers });

/** A fetch that answers from a table by URL and remembers what it was asked. */
export function network(routes: Record<string, Answer>) {
  const calls: Call[] = [];
  const fetch: Fetch = async (url, init) => {
    const call = {
      url,
      method: init.method ?? 'GET',
      headers: new Headers(init.headers),
      body: init.body instanceof ReadableStream ? '' : await new Response(init.body).text(),
      redirect: init.redirect,
    };
    calls.push(call);
    const answer = routes[url];
    if (!answer) throw new TypeError(`nothing listens at ${url}`);
    return answer(call);
  };
  return { fetch, calls, to: (url: string) => calls.filter((call) => call.url === url) };
}

export const wellKnown = 'https://issuer.example/.well-known/oauth-authorization-server/t/acme';
export const issuerRoutes = {
  [wellKnown]: () => json(METADATA),
  [`${ISSUER}/token`]: () => json(GRANT),
};

export const client = generateKeyPairSync('ed25519');
export const key = { ...client.privateKey.export({ format: 'jwk' }) };

export function agentOn(fetch: Fetch, more: Partial<Parameters<typeof createAgent>[0]> = {}) {
  return createAgent({
    issuer: ISSUER,
    clientId: 'procurement-agent',
    key,
    fetch,
    clock: () => NOW_MS,
    ...more,
  });
}

export async function startedOn(routes: Record<string, Answer>) {
  const net = network({ ...issuerRoutes, ...routes });
  const capability = await agentOn(net.fetch).startTask(TASK);
  return { ...net, capability };
}

export async function refusalOf(work: Promise<unknown> | (() => unknown)): Promise<AgentError> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

export const proofWindow = {
  nowSeconds: NOW_SECONDS,
  windowSeconds: 10,
  algorithms: ['ES256'] as const,
};
