import { type Bus, connectBus, createSigner } from '@remit/bus';
import {
  type AgentBody,
  bodyDigest,
  type CheckRequest,
  type CheckResponse,
  canonicalText,
  type MintRequest,
  type MintResponse,
  type PermissionJson,
  type PublicJwk,
  type RegisterRequest,
  type RegistryBody,
  type RevocationEntry,
  type TenantBody,
  type ToolBody,
} from '@remit/contracts';
import { type TestInfra } from '@remit/testkit';

/** What the fakes answer with; a test changes it and sees what was asked. */
export type FakeServices = AsyncDisposable & {
  /** The registry, by tenant. */
  readonly tenants: Map<string, FakeTenant>;
  /** What the pdp answers; default: what was asked for, else READ. */
  mint: (request: MintRequest) => MintResponse;
  /** Keys that are revoked. */
  readonly revokedKeys: Set<string>;
  /** What else is revoked of what is about to be used. */
  revoked: (request: CheckRequest) => CheckResponse['revoked'];
  /** Called at each request, in the order of their arrival. */
  readonly asked: { method: string; tenant: string; body: unknown }[];
  /** Runs inside an answer, e.g. to change something between two steps. */
  during: (method: string) => void | Promise<void>;
  head: { epoch: string; seq: number };
  /** What is asked for after a sequence. */
  entries: RevocationEntry[];
  /** Entries up to here are forgotten. */
  floor: number;
  stop(service: 'pdp' | 'registry' | 'revocation'): Promise<void>;
};

export type FakeTenant = {
  body: TenantBody;
  agents: Map<string, { body: AgentBody; status: 'active' | 'inactive' }>;
  users: Map<string, { id: string; status: 'active' | 'inactive' }>;
  taskTypes: Set<string>;
  audiences: Set<string>;
  /** Keys of the tools of these audiences. */
  toolKeys?: Map<string, PublicJwk[]>;
};

export const READ: PermissionJson = {
  actions: ['suppliers.read'],
  resources: ['erp/suppliers/S-100'],
  args: [],
};

const PLACEHOLDER = bodyDigest('{}');

function tool(audience: string, keys: PublicJwk[] | undefined): ToolBody {
  return { kind: 'tool', id: 'erp', audience, actions: [], ...(keys && { keys }) };
}

/** The other services, answering over the real bus with their real keys. */
export async function startFakeServices(infra: TestInfra): Promise<FakeServices> {
  const buses = new Map<string, Bus>();
  for (const user of ['pdp', 'registry', 'revocation'] as const) {
    const { seed } = infra.creds(user);
    buses.set(user, await connectBus({ url: infra.natsUrl, user, seed, name: user }));
  }
  const bodies = new Map<string, string>();
  const keep = (body: RegistryBody): string => {
    const text = canonicalText(body);
    const digest = bodyDigest(text);
    bodies.set(digest, text);
    return digest;
  };
  let indices = 0;
  const fakes: FakeServices = {
    tenants: new Map(),
    mint: (request) => allow(request),
    revokedKeys: new Set(),
    revoked: () => undefined,
    asked: [],
    during: () => {},
    head: { epoch: 'epoch-01', seq: 7 },
    entries: [],
    floor: 0,
    stop: async (service) => buses.get(service)?.close(),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...buses.values()].map((bus) => bus.close()));
    },
  };
  const note = async (method: string, tenant: string, body: unknown): Promise<void> => {
    fakes.asked.push({ method, tenant, body });
    await fakes.during(method);
  };

  buses.get('registry')?.serve(
    'registry',
    {
      lookup: async ({ tenant }, request) => {
        await note('registry.lookup', tenant, request);
        const found = fakes.tenants.get(tenant);
        if (!found) throw Object.assign(new Error('no tenant'), { wireCode: 'TENANT_UNKNOWN' });
        const { user, task_type: taskType, audience } = request;
        const person =
          user && 'iss' in user ? found.users.get(`${user.iss} ${user.sub}`) : undefined;
        return {
          revision: 3,
          tenant: { status: 'active', body: keep(found.body) },
          actors: request.actors.flatMap((id) => {
            const agent = found.agents.get(id);
            if (!agent) return [];
            const { body, status } = agent;
            return [{ id, status, body: keep(body), envelope: PLACEHOLDER }];
          }),
          ...(person ? { user: { ...person, body: PLACEHOLDER, roles: [] } } : {}),
          ...(taskType !== undefined && found.taskTypes.has(taskType)
            ? { task_type: { id: taskType, body: PLACEHOLDER } }
            : {}),
          ...(audience !== undefined && found.audiences.has(audience)
            ? { tool: { id: 'erp', body: keep(tool(audience, found.toolKeys?.get(audience))) } }
            : {}),
        };
      },
      body: async ({ tenant }, { digest }) => {
        await note('registry.body', tenant, digest);
        return { digest, text: bodies.get(digest) ?? '' };
      },
    },
    { signer: createSigner(infra.signer('registry-bus')) },
  );
  buses.get('pdp')?.serve(
    'pdp',
    {
      mint: async ({ tenant }, request) => {
        await note('pdp.mint', tenant, request);
        return fakes.mint(request);
      },
    },
    { signer: createSigner(infra.signer('pdp-bus')) },
  );
  buses.get('revocation')?.serve(
    'revocation',
    {
      check: async ({ tenant }, request): Promise<CheckResponse> => {
        // The head is read before anything can change during the answer.
        const head = { ...fakes.head };
        await note('revocation.check', tenant, request);
        const id = request.keys.find((key) => fakes.revokedKeys.has(key));
        const revoked = id ? { kind: 'key' as const, id, ancestor: false } : fakes.revoked(request);
        return { head, ...(revoked ? { revoked } : {}) };
      },
      since: async ({ tenant }, request) => {
        await note('revocation.since', tenant, request);
        const { epoch, seq } = fakes.head;
        const entries = fakes.entries.filter((entry) => entry.seq > request.after);
        const page = { epoch, head: seq, more: false };
        if (request.after < fakes.floor) return { ...page, entries: [], floor: fakes.floor };
        return { ...page, entries };
      },
      revoke: async ({ tenant }, request) => {
        await note('revocation.revoke', tenant, request);
        return { epoch: fakes.head.epoch, seq: ++fakes.head.seq, time: 0 };
      },
      register: async ({ tenant }, request: RegisterRequest) => {
        await note('revocation.register', tenant, request);
        return { idx: ++indices, uri: 'http://revocation.test/t/acme/status/1' };
      },
    },
    { signer: createSigner(infra.signer('revocation-bus')) },
  );
  await Promise.all([...buses.values()].map((bus) => bus.flush()));
  return fakes;
}

/** A decision that allows what was asked for. */
export function allow(
  request: MintRequest,
  more: Partial<NonNullable<MintResponse['task']>> = {},
): MintResponse {
  return {
    id: 'decision-1',
    decision: 'allow',
    reason: 'permitted',
    dimensions: { agent: 'allow', user: 'allow', task: 'allow', policies: 'allow' },
    permissions: request.requested ?? [READ],
    ceiling: [READ],
    task: {
      purpose: 'Summarise the risk of one supplier',
      until_seconds: 3_600,
      token_seconds: 300,
      depth_max: 2,
      single_use: false,
      links: true,
      ...more,
    },
    policies: ['platform'],
    policy_version: 'sha256:policies',
    registry_revision: 3,
  };
}

/** A decision that refuses. */
export function deny(reason: string, more: Partial<MintResponse> = {}): MintResponse {
  return {
    id: 'decision-2',
    decision: 'deny',
    reason,
    dimension: 'user',
    dimensions: { agent: 'allow', user: 'deny', task: 'allow', policies: 'not_evaluated' },
    permissions: [],
    ceiling: [],
    policies: [],
    policy_version: 'sha256:policies',
    registry_revision: 3,
    ...more,
  };
}
