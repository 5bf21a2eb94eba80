import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { meet, parseOperation, permits, scope, within } from '../scope/index.ts';
import { operationNear, written } from '../scope/test-support/arbitraries.ts';
import { narrowed } from '../scope/test-support/narrow.ts';
import { configureRuns, tally } from '../scope/test-support/runs.ts';
import type { Capability } from '../token/index.ts';
import { capability, NOW } from '../token/test-support/fixtures.ts';
import {
  type ChildRequest,
  checkChild,
  checkNextActor,
  DelegationError,
  deriveChild,
} from './index.ts';

beforeAll(configureRuns);

const ALL = scope([{ actions: ['**'], resources: ['**'], args: 'any' }]);
const JKT = 'C'.repeat(43);
const PARENT = capability({ links: true, singleUse: 'use-1', budgets: [{ id: 'b', unit: 'EUR' }] });
const ANALYST = { sub: 'risk-analyst', jkt: JKT, relay: false };
const RELAY = { ...ANALYST, relay: true };
const LESS = scope([{ actions: ['suppliers.read'], resources: ['erp/suppliers/S-1'], args: [] }]);

const request = (changed: Partial<ChildRequest> = {}): ChildRequest => ({
  id: 'jti-child',
  actor: ANALYST,
  clientId: 'procurement-agent',
  scope: LESS,
  issuedAt: NOW + 10,
  expiresAt: NOW + 200,
  rev: { epoch: 'epoch-01', seq: 9 },
  policy: { version: 'v1', decision: 'decision-2' },
  links: false,
  ...changed,
});

function refused(call: () => unknown): DelegationError {
  try {
    call();
  } catch (error) {
    if (error instanceof DelegationError) return error;
    throw error;
  }
  return expect.fail('not refused');
}

const derive = (changed: Partial<ChildRequest>, parent: Capability = PARENT) =>
  deriveChild(parent, request(changed));
/** As the issuer registers it. */
const registered = (child: ReturnType<typeof derive>['child']): Capability => ({
  ...child,
  status: { idx: 13, uri: PARENT.status.uri },
});

describe('a child', () => {
  it('is its parent’s in all but actor, key, time and scope', () => {
    const { child, givenUp } = derive({});
    const { status: _, ...inherited } = PARENT;
    expect(child).toEqual({
      ...inherited,
      id: 'jti-child',
      actors: ['procurement-agent', 'risk-analyst'],
      clientId: 'procurement-agent',
      confirmation: { jkt: JKT },
      scope: LESS,
      issuedAt: NOW + 10,
      notBefore: NOW + 10,
      expiresAt: NOW + 200,
      lineage: [PARENT.id],
      depth: { used: 1, max: 3 },
      rev: { epoch: 'epoch-01', seq: 9 },
      policy: { version: 'v1', decision: 'decision-2' },
      links: false,
    });
    expect(givenUp && permits(PARENT.scope, givenUp).ok).toBe(true);
    expect(givenUp && permits(LESS, givenUp).ok).toBe(false);
  });

  it('is always bound, to the key of the actor and not of the caller', () => {
    const bearer = capability();
    const { confirmation: _, ...unbound } = bearer;
    expect(derive({}, unbound).child.confirmation).toEqual({ jkt: JKT });
  });

  it('may not name an actor that acted before, itself included', () => {
    const self = { ...ANALYST, sub: 'procurement-agent' };
    expect(refused(() => derive({ actor: self })).code).toBe('ACTOR_CYCLE');
    const second = registered(derive({}).child);
    expect(refused(() => derive({ id: 'j3', actor: self }, second)).code).toBe('ACTOR_CYCLE');
  });

  it('may not be deeper than the first token allows', () => {
    const last = capability({ lineage: ['a', 'b', 'c'], depth: { used: 3, max: 3 } });
    expect(refused(() => derive({}, last)).code).toBe('DEPTH_EXCEEDED');
  });

  it('may not outlive its parent, nor start before it', () => {
    expect(refused(() => derive({ expiresAt: NOW + 301 })).code).toBe('EXPIRY_WIDENING');
    expect(refused(() => derive({ issuedAt: NOW - 1 })).code).toBe('EXPIRY_WIDENING');
    expect(derive({ expiresAt: NOW + 300 }).child.expiresAt).toBe(NOW + 300);
  });

  it('may not widen the scope', () => {
    const wide = scope([{ actions: ['contracts.read'], resources: ['erp/contracts/*'], args: [] }]);
    const error = refused(() => derive({ scope: wide }));
    expect(error.code).toBe('SCOPE_WIDENING');
    expect(error.message).toBe('the scope asked for is too wide');
    expect(error.context).toMatchObject({ bound: 'parent', excess: { kind: 'action' } });
  });

  it('may not turn an online permission into a local one', () => {
    const local = scope([
      { actions: ['orders.create'], resources: ['erp/orders'], args: ['amount'] },
    ]);
    const error = refused(() => derive({ scope: local }));
    expect(error.context.excess?.kind).toBe('check');
  });

  it('is only for an actor and a key that may_act names, and within that entry', () => {
    const entry = { sub: 'risk-analyst', jkt: JKT, scope: LESS };
    const parent = (mayAct: Capability['mayAct']) => capability(mayAct && { mayAct });
    expect(derive({}, parent([entry])).child.mayAct).toEqual([entry]);
    for (const other of [
      { ...entry, sub: 'other' },
      { ...entry, jkt: 'D'.repeat(43) },
    ]) {
      expect(refused(() => derive({}, parent([other]))).code).toBe('ACTOR_NOT_NAMED');
    }
    expect(refused(() => derive({}, parent([]))).code).toBe('ACTOR_NOT_NAMED');
    const less = { ...entry, scope: scope([]) };
    expect(refused(() => derive({}, parent([less]))).context.bound).toBe('may_act');
  });

  it('may not be handed on offline when its parent may not', () => {
    expect(derive({ links: true }).child.links).toBe(true);
    expect(refused(() => derive({ links: true }, capability())).code).toBe('LINKS_WIDENING');
  });

  it('gives something up, unless there is nothing to divide or the actor is a relay', () => {
    const whole = { scope: PARENT.scope };
    expect(refused(() => derive(whole)).code).toBe('NOTHING_GIVEN_UP');
    expect(derive({ ...whole, actor: RELAY }).givenUp).toBeUndefined();
    const same = { ...whole, actor: RELAY, expiresAt: PARENT.expiresAt };
    expect(refused(() => derive(same)).code).toBe('NOTHING_GIVEN_UP');
    const single = capability({ scope: LESS });
    expect(derive({}, single).givenUp).toBeUndefined();
    expect(refused(() => derive({ expiresAt: NOW + 300 }, single)).code).toBe('NOTHING_GIVEN_UP');
  });
});

describe('checkNextActor', () => {
  it('takes an agent that is new, where a hop is left', () => {
    expect(() => checkNextActor(PARENT, ANALYST)).not.toThrow();
  });

  // Each row goes red when its rule is taken out of `checkNextActor`.
  it.each([
    ['an agent that acts already', { actors: ['risk-analyst'] }, 'ACTOR_CYCLE'],
    ['one hop too many', { depth: { used: 0, max: 0 } }, 'DEPTH_EXCEEDED'],
    ['an agent that nobody named', { mayAct: [] }, 'ACTOR_NOT_NAMED'],
    [
      'a key that nobody named',
      { mayAct: [{ sub: 'risk-analyst', jkt: 'D'.repeat(43), scope: ALL }] },
      'ACTOR_NOT_NAMED',
    ],
  ])('refuses %s', (_, changed, code) => {
    const parent = capability(changed);
    expect(refused(() => checkNextActor(parent, ANALYST)).code).toBe(code);
  });
});

describe('checkChild', () => {
  const child = derive({}).child;

  it('takes what deriveChild makes', () => {
    expect(() => checkChild(PARENT, child)).not.toThrow();
  });

  // Each row goes red when its rule is taken out of `checkChild`.
  it.each([
    ['issuer', { issuer: 'https://other.test' }, 'ISSUER_CHANGED'],
    ['tenant', { tenant: 'globex' }, 'TENANT_MISMATCH'],
    ['user', { subject: 'bob' }, 'SUBJECT_CHANGED'],
    ['task', { task: { ...PARENT.task, id: 'task_2' } }, 'TASK_CHANGED'],
    ['task type', { task: { ...PARENT.task, type: 'pay' } }, 'TASK_CHANGED'],
    ['purpose', { task: { ...PARENT.task, purpose: 'x' } }, 'TASK_CHANGED'],
    ['audience', { audience: 'https://other.test' }, 'AUDIENCE_WIDENING'],
    ['approval', { approval: 'forged' }, 'APPROVAL_CHANGED'],
    ['parent in the lineage', { lineage: ['another'] }, 'CHAIN_SPLICE'],
    [
      'second parent',
      { lineage: ['another', PARENT.id], depth: { used: 2, max: 3 } },
      'CHAIN_SPLICE',
    ],
    ['empty lineage', { lineage: [] }, 'CHAIN_SPLICE'],
    ['id of the parent', { id: PARENT.id }, 'CHAIN_SPLICE'],
    ['depth that was reset', { depth: { used: 0, max: 3 } }, 'CHAIN_SPLICE'],
    ['deeper limit', { depth: { used: 1, max: 4 } }, 'DEPTH_EXCEEDED'],
    ['dropped actor', { actors: ['risk-analyst'] }, 'ACTOR_CHAIN_INVALID'],
    ['swapped actors', { actors: ['risk-analyst', 'procurement-agent'] }, 'ACTOR_CHAIN_INVALID'],
    ['two new actors', { actors: ['procurement-agent', 'a', 'b'] }, 'ACTOR_CHAIN_INVALID'],
    ['no actor', { actors: [] }, 'ACTOR_CHAIN_INVALID'],
    ['later end', { expiresAt: NOW + 301 }, 'EXPIRY_WIDENING'],
    ['earlier nbf', { notBefore: NOW - 1 }, 'EXPIRY_WIDENING'],
    ['dropped binding', { confirmation: undefined }, 'BINDING_DOWNGRADE'],
    ['dropped single use', { singleUse: undefined }, 'USE_CHANGED'],
    ['use of its own', { singleUse: 'use-2' }, 'USE_CHANGED'],
    ['dropped budget', { budgets: [] }, 'USE_CHANGED'],
    ['budget of another unit', { budgets: [{ id: 'b', unit: 'USD' }] }, 'USE_CHANGED'],
    ['wider scope', { scope: ALL }, 'SCOPE_WIDENING'],
  ])('refuses another %s', (_, changed, code) => {
    expect(refused(() => checkChild(PARENT, { ...child, ...changed } as Capability)).code).toBe(
      code,
    );
  });

  it('refuses a child that forgets or widens who may be named next', () => {
    const entry = { sub: 'risk-analyst', jkt: JKT, scope: LESS };
    const parent = capability({ mayAct: [entry] });
    const own = derive({}, parent).child;
    const { mayAct: _, ...forgot } = own;
    expect(refused(() => checkChild(parent, forgot)).code).toBe('ACTOR_NOT_NAMED');
    const wider = { ...own, mayAct: [{ ...entry, scope: ALL }] };
    expect(refused(() => checkChild(parent, wider)).code).toBe('ACTOR_NOT_NAMED');
  });
});

describe('a chain of children', () => {
  it('never admits what an ancestor, an envelope or the user does not', () => {
    const seen = tally('derived', 'refused');
    let hits = 0;
    const world = fc
      .tuple(written, written, written)
      .chain(([a, b, c]) =>
        fc.tuple(
          fc.constant({ a, b, c }),
          narrowed([...a, ...b, ...c]),
          operationNear([...a, ...b, ...c]),
        ),
      );
    fc.assert(
      fc.property(world, fc.boolean(), ([{ a, b, c }, wanted, op], open) => {
        const parent = capability({ scope: scope([...a, ...b]) });
        const envelope = open ? ALL : scope([...a, ...c]);
        const entitlement = scope([...a, ...b, ...c]);
        const asked = scope(wanted);
        // What a decision leaves of the request, as the PDP meets it; the parent is checked here.
        const inEnvelope = meet(asked, envelope);
        const allowed = inEnvelope.ok ? meet(inEnvelope.scope, entitlement) : inEnvelope;
        if (!allowed.ok) return;
        try {
          const { child } = deriveChild(parent, request({ scope: allowed.scope, actor: RELAY }));
          seen.add('derived');
          const operation = parseOperation(op);
          if (permits(child.scope, operation).ok) {
            hits += 1;
            for (const bound of [parent.scope, envelope, entitlement]) {
              expect(permits(bound, operation).ok).toBe(true);
            }
          }
        } catch (error) {
          if (!(error instanceof DelegationError)) throw error;
          seen.add('refused');
          expect(error.code).toBe('SCOPE_WIDENING');
          expect(within(allowed.scope, parent.scope)).toBe(false);
        }
      }),
    );
    console.info(`delegation: ${seen.line()}, admitted ${hits}`);
    expect(seen.share('derived')).toBeGreaterThan(0.1);
    expect(hits).toBeGreaterThan(20);
  });
});
