import { closed, text } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import { type Directory, type Person, tenantParam } from '@remit/service-kit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import type { Engine } from '../cedar/engine.ts';
import type { Resolver } from '../decide/resolve.ts';
import type { Policies } from '../policies/policies.ts';
import { can } from '../whatif/can.ts';
import { explain } from '../whatif/explain.ts';
import { factsNow, recordedDecision } from '../whatif/recorded.ts';
import { replay } from '../whatif/replay.ts';
import { whoCan } from '../whatif/who-can.ts';
import type { Admit } from './admit.ts';
import { asWireError } from './policies.ts';

const params = closed({ tenant: tenantParam });
const versionParams = closed({ tenant: tenantParam, version: text(64) });
const replayBody = closed({
  /** The version to compare with; the active one unless given. */
  against: Type.Optional(text(64)),
  decisions: Type.Array(recordedDecision, { minItems: 1, maxItems: 200 }),
});
const whoCanQuery = closed({
  action: text(),
  resource: text(),
  /** Ids with commas between. */
  agents: Type.Optional(Type.String({ maxLength: 4_096 })),
});
const canQuery = closed({ agent: text(128), user: text(128) });
const BODY_LIMIT_BYTES = 4_194_304;

export type WhatIfDeps = {
  policies: Policies;
  engine: Engine;
  resolve: Resolver;
  directory: Directory;
  recorder: Recorder;
  admit: Admit;
};

/** What was decided and why, and what a version would have decided: for auditors and administrators. */
export function whatIfRoutes(http: FastifyInstance, deps: WhatIfDeps): void {
  const { policies, engine, resolve, directory } = deps;

  http.post(
    '/t/:tenant/admin/v1/explain',
    { schema: { params, body: recordedDecision } },
    async (request) => {
      const recorded = request.body as Static<typeof recordedDecision>;
      const { tenant } = await enter(deps, request, { decision: recorded.id });
      return Promise.all([
        factsNow(resolve, tenant, recorded),
        policies.get(tenant, recorded.policy_version),
      ])
        .then(([facts, set]) => explain(engine, tenant, facts, set, recorded))
        .catch(asWireError);
    },
  );

  http.post(
    '/t/:tenant/admin/v1/policies/:version/replay',
    { schema: { params: versionParams, body: replayBody }, bodyLimit: BODY_LIMIT_BYTES },
    async (request) => {
      const { version } = request.params as { version: string };
      const { against, decisions } = request.body as Static<typeof replayBody>;
      const { tenant } = await enter(deps, request, { version, decisions: decisions.length });
      const [base, candidate] = await Promise.all([
        against === undefined ? policies.active(tenant) : policies.get(tenant, against),
        policies.get(tenant, version),
      ]).catch(asWireError);
      const sets = { base, candidate };
      return {
        base: base.version,
        candidate: candidate.version,
        decisions: await replay({ engine, resolve }, tenant, sets, decisions).catch(asWireError),
      };
    },
  );

  http.get(
    '/t/:tenant/admin/v1/who-can',
    { schema: { params, querystring: whoCanQuery } },
    async (request) => {
      const { action, resource, agents = '' } = request.query as Static<typeof whoCanQuery>;
      const { tenant } = await enter(deps, request, { action, resource });
      const asked = { action, resource, agents: agents.split(',').filter((id) => id !== '') };
      const set = await policies.active(tenant);
      return whoCan({ directory, resolve }, tenant, set, asked).catch(asWireError);
    },
  );

  http.get(
    '/t/:tenant/admin/v1/can',
    { schema: { params, querystring: canQuery } },
    async (request) => {
      const asked = request.query as Static<typeof canQuery>;
      const { tenant } = await enter(deps, request, { agent: asked.agent });
      return can(resolve, tenant, await policies.active(tenant), asked).catch(asWireError);
    },
  );
}

/** Lets an auditor or administrator in, and leaves a record of the question before it is answered. */
async function enter(
  { admit, recorder }: Pick<WhatIfDeps, 'admit' | 'recorder'>,
  request: FastifyRequest,
  facts: Record<string, string | number>,
): Promise<{ tenant: string; person: Person }> {
  const entered = await admit(request, ['remit-admin', 'remit-auditor']);
  await recorder.record(entered.tenant, {
    event: 'admin.query',
    decision: 'allow',
    reason: 'permitted',
    principal: entered.person.id,
    detail: { route: request.routeOptions.url ?? '', ...facts },
  });
  return entered;
}
