import { connectBus, createSigner } from '@remit/bus';
import {
  type AgentBody,
  bodyDigest,
  canonicalText,
  type LookupResponse,
  type PermissionJson,
  type RegistryBody,
  SIGNED,
  type TaskTypeBody,
} from '@remit/contracts';
import type { TestInfra } from '@remit/testkit';
import { agentBody, erp, everything, purchase, summary, userBody } from './fixtures.ts';

/** One tenant of the registry, as plain data that a test may change between two requests. */
export type TenantData = {
  status: 'active' | 'inactive';
  idpIssuer: string;
  agents: Map<string, { body: AgentBody; active: boolean; envelope: PermissionJson[] }>;
  users: Map<
    string,
    { groups: string[]; active: boolean; roles: string[]; attributes?: Record<string, string> }
  >;
  taskTypes: TaskTypeBody[];
  roles: Map<string, PermissionJson[]>;
  /** Signs envelopes in place of the registry's key, for a test of forgery. */
  envelopeClaims: Partial<{ tenant: string; agent: string; version: number }>;
  envelopeSigner?: ReturnType<typeof createSigner>;
  tools: (typeof erp)[];
};

type Known = TenantData['users'] extends Map<string, infer U> ? U : never;

export const IDP_ISSUER = 'https://idp.example';

function tenantData(): TenantData {
  return {
    status: 'active',
    idpIssuer: IDP_ISSUER,
    agents: new Map([
      ['procurement-agent', { body: agentBody(), active: true, envelope: everything }],
    ]),
    users: new Map([
      ['alice', { groups: ['treasury'], active: true, roles: ['buyer'] }],
      ['dora', { groups: ['security'], active: true, roles: [] }],
      ['erin', { groups: ['internal-audit'], active: true, roles: [] }],
    ]),
    roles: new Map([['buyer', everything]]),
    envelopeClaims: {},
    tools: [erp],
    taskTypes: [summary, purchase],
  };
}

export type FakeRegistry = AsyncDisposable & { tenants: Map<string, TenantData> };

/**
 * The registry's two methods over the real bus with its real keys, from data in memory: what the pdp
 * sees of it. Users are their own subject at the identity provider.
 */
export async function startFakeRegistry(infra: TestInfra): Promise<FakeRegistry> {
  const { user, seed } = infra.creds('registry');
  const bus = await connectBus({ url: infra.natsUrl, user, seed, name: 'fake-registry' });
  const envelopes = createSigner(infra.signer('registry-envelope'));
  const tenants = new Map([
    ['acme', tenantData()],
    ['globex', tenantData()],
  ]);
  const texts = new Map<string, string>();
  const put = (body: RegistryBody): string => {
    const text = canonicalText(body);
    texts.set(bodyDigest(text), text);
    return bodyDigest(text);
  };

  bus.serve(
    'registry',
    {
      lookup: ({ tenant }, request) => {
        const data = tenants.get(tenant);
        if (!data) throw Object.assign(new Error('no tenant'), { wireCode: 'TENANT_UNKNOWN' });
        const asked = request.user;
        const id =
          asked === undefined
            ? undefined
            : 'id' in asked
              ? asked.id
              : asked.iss === data.idpIssuer
                ? asked.sub
                : undefined;
        const known = id === undefined ? undefined : data.users.get(id);
        const type = data.taskTypes.find((one) => one.id === request.task_type);
        const tool = data.tools.find((one) => one.audience === request.audience);
        const answer: LookupResponse = {
          revision: 3,
          tenant: {
            status: data.status,
            body: put({
              kind: 'tenant',
              id: tenant,
              idps: [{ issuer: data.idpIssuer }],
              admin_groups: { 'remit-admin': ['security'], 'remit-auditor': ['internal-audit'] },
            }),
          },
          actors: request.actors.flatMap((actor) => {
            const found = data.agents.get(actor);
            if (!found) return [];
            const { version } = found.body;
            const claims = { tenant, agent: actor, version, ...data.envelopeClaims };
            const payload = { ...claims, permissions: found.envelope };
            const jws = (data.envelopeSigner ?? envelopes).sign(
              SIGNED.envelope,
              JSON.stringify(payload),
            );
            return [
              {
                id: actor,
                status: found.active ? ('active' as const) : ('inactive' as const),
                body: put(found.body),
                envelope: put({ kind: 'envelope', jws }),
              },
            ];
          }),
        };
        const userOf = (name: string, { groups, active, roles, attributes }: Known) => ({
          id: name,
          status: active ? ('active' as const) : ('inactive' as const),
          body: put(userBody(name, { groups, ...(attributes ? { attributes } : {}) })),
          roles: roles.map((role) =>
            put({ kind: 'role', id: role, permissions: data.roles.get(role) ?? [] }),
          ),
        });
        if (known && id !== undefined) answer.user = userOf(id, known);
        if (request.users) {
          const { after = '', limit } = request.users;
          answer.users = [...data.users]
            .filter(([name]) => name > after)
            .toSorted(([one], [other]) => (one < other ? -1 : 1))
            .slice(0, limit)
            .map(([name, one]) => userOf(name, one));
        }
        if (type) answer.task_type = { id: type.id, body: put(type) };
        if (tool) answer.tool = { id: tool.id, body: put(tool) };
        if (request.tools) answer.tools = data.tools.map((one) => ({ id: one.id, body: put(one) }));
        return answer;
      },
      body: (_context, { digest }) => ({ digest, text: texts.get(digest) as string }),
    },
    { signer: createSigner(infra.signer('registry-bus')) },
  );
  await bus.flush();
  return { tenants, [Symbol.asyncDispose]: () => bus.close() };
}
