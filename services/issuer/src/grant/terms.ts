import { closed, type MintResponse } from '@remit/contracts';
import { type Static, Type } from 'typebox';
import { IssuerError } from '../error.ts';
import type { AllowedDecision } from './decision.ts';

type Terms = AllowedDecision['task'];

/** What a client may ask a task to be less than its type says (02, Launching a task). */
export const taskLimits = closed({
  until_seconds: Type.Optional(Type.Integer({ minimum: 1 })),
  token_seconds: Type.Optional(Type.Integer({ minimum: 1 })),
  depth_max: Type.Optional(Type.Integer({ minimum: 0 })),
  single_use: Type.Optional(Type.Boolean()),
  links: Type.Optional(Type.Boolean()),
  may_act: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { maxItems: 16, uniqueItems: true }),
  ),
});
export type TaskLimits = Static<typeof taskLimits>;

/**
 * The terms of a task as its type says them and the client asked them to be less. Asking for more is
 * refused, not clamped: what is not asked for is what the type says.
 * Throws IssuerError `DETAILS_REFUSED` that names the limit.
 */
export function limitedTerms(decision: AllowedDecision, asked: TaskLimits | undefined): Terms {
  const { task } = decision;
  if (asked === undefined) return task;
  const atMost = (name: 'depth_max' | 'token_seconds' | 'until_seconds'): number => {
    const wanted = asked[name] ?? task[name];
    if (wanted > task[name]) throw tooMuch(name, decision);
    return wanted;
  };
  if (asked.links === true && !task.links) throw tooMuch('links', decision);
  if (asked.single_use === false && task.single_use) throw tooMuch('single_use', decision);
  const { may_act: allowed } = task;
  const beyond = asked.may_act?.some((agent) => allowed?.includes(agent) === false);
  if (beyond === true) throw tooMuch('may_act', decision);
  const mayAct = asked.may_act ?? allowed;
  return {
    ...task,
    until_seconds: atMost('until_seconds'),
    token_seconds: atMost('token_seconds'),
    depth_max: atMost('depth_max'),
    single_use: asked.single_use ?? task.single_use,
    links: asked.links ?? task.links,
    ...(mayAct === undefined ? {} : { may_act: mayAct }),
  };
}

function tooMuch(name: keyof TaskLimits, decision: MintResponse): IssuerError {
  return new IssuerError('DETAILS_REFUSED', `The task type does not allow the limit ${name}.`, {
    reason: 'task_scope',
    dimension: 'task',
    refused: { path: `limits.${name}` },
    decision,
  });
}
