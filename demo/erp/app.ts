import type { Pep } from '@remit/pep';
import { type RemitRoute, remit } from '@remit/pep/fastify';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import type { ErpStore, Order } from './store.ts';

type ById = { id: string };

const params = (request: FastifyRequest) => request.params as ById;
const who = (request: FastifyRequest) => request.remit.principal;

/** What each route does, in the words of the capability model. */
const guarded = {
  supplier: {
    action: 'suppliers.read',
    resource: (request) => `erp/suppliers/${params(request).id}`,
    args: () => ({}),
  },
  risk: {
    action: 'suppliers.risk.read',
    resource: (request) => `erp/suppliers/${params(request).id}`,
    args: () => ({}),
  },
  export: {
    action: 'suppliers.export',
    resource: () => 'erp/suppliers',
    args: (request) => request.body,
  },
  contract: {
    action: 'contracts.read',
    resource: (request) => `erp/contracts/${params(request).id}`,
    args: () => ({}),
  },
  termination: {
    action: 'contracts.terminate',
    resource: (request) => `erp/contracts/${params(request).id}`,
    args: () => ({}),
  },
  order: {
    action: 'orders.create',
    resource: () => 'erp/orders',
    args: (request) => request.body,
  },
  payment: {
    action: 'payments.read',
    resource: (request) => `erp/payments/${params(request).id}`,
    args: () => ({}),
  },
  release: {
    action: 'payments.release',
    resource: (request) => `erp/payments/${params(request).id}`,
    args: (request) => request.body ?? {},
  },
} satisfies Record<string, RemitRoute>;

const orderBody = {
  type: 'object',
  required: ['supplier', 'item', 'amount', 'currency'],
  additionalProperties: false,
  properties: {
    supplier: { type: 'string', maxLength: 64 },
    item: { type: 'string', maxLength: 200 },
    amount: { type: 'number', exclusiveMinimum: 0 },
    currency: { type: 'string', enum: ['EUR'] },
  },
};

/** A procurement ERP as any team would write it; Remit is the plugin and one `config` per route. */
export async function buildErp(deps: { pep: Pep; store: ErpStore }): Promise<FastifyInstance> {
  const { pep, store } = deps;
  const app = fastify({
    bodyLimit: 16_384,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  });
  await app.register(remit, { pep });

  app.get('/healthz', { config: { remit: 'public' } }, () => ({ ok: true }));

  app.get(
    '/suppliers/:id',
    { config: { remit: guarded.supplier } },
    async (request, reply) =>
      (await store.supplier(params(request).id, who(request))) ??
      reply.code(404).send({ error: 'no such supplier' }),
  );
  app.get(
    '/suppliers/:id/risk',
    { config: { remit: guarded.risk } },
    async (request, reply) =>
      (await store.risk(params(request).id, who(request))) ??
      reply.code(404).send({ error: 'no such supplier' }),
  );
  app.post('/suppliers/export', { config: { remit: guarded.export } }, (request) =>
    store.suppliers(who(request)),
  );
  app.get(
    '/contracts/:id',
    { config: { remit: guarded.contract } },
    async (request, reply) =>
      (await store.contract(params(request).id, who(request))) ??
      reply.code(404).send({ error: 'no such contract' }),
  );
  app.post(
    '/orders',
    { config: { remit: guarded.order }, schema: { body: orderBody } },
    async (request, reply) =>
      // The checked copy, never the body: what was decided is what happens.
      reply
        .code(201)
        .send(
          await store.createOrder(request.remit.operation.args as unknown as Order, who(request)),
        ),
  );
  app.delete(
    '/contracts/:id',
    { config: { remit: guarded.termination } },
    async (request, reply) =>
      (await store.terminateContract(params(request).id, who(request)))
        ? { terminated: params(request).id }
        : reply.code(409).send({ error: 'terminated already or unknown' }),
  );
  app.get(
    '/payments/:id',
    { config: { remit: guarded.payment } },
    async (request, reply) =>
      (await store.payment(params(request).id, who(request))) ??
      reply.code(404).send({ error: 'no such payment' }),
  );
  app.post(
    '/payments/:id/release',
    { config: { remit: guarded.release } },
    async (request, reply) =>
      (await store.releasePayment(params(request).id, who(request)))
        ? { released: params(request).id }
        : reply.code(409).send({ error: 'released already or unknown' }),
  );
  return app;
}
