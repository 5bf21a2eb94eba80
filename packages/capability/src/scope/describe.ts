import type { Miss } from './permits.ts';
import type { Excess } from './scope.ts';
import type { TestName } from './types.ts';

const FAILED: { readonly [K in TestName]: string } = {
  absent: 'may not be given',
  each: 'has an element that is not allowed',
  emails: 'is not one e-mail address on an allowed host',
  exact: 'is a number that cannot be compared exactly',
  hosts: 'is not an https address on an allowed host',
  in: 'is none of the allowed values',
  like: 'does not match what is allowed',
  max: 'is above what is allowed, or not a number',
  maxItems: 'has more elements than allowed, or is not a list',
  maxLength: 'is longer than allowed, or not a text',
  min: 'is below what is allowed, or not a number',
  present: 'is missing',
};

/** One sentence for a person. Without bounds and without the argument's value: safe to hand out. */
export function describeMiss(miss: Miss): string {
  const { action, resource } = miss;
  switch (miss.kind) {
    case 'action':
      return `The action ${action} is not permitted.`;
    case 'resource':
      return `The action ${action} is permitted, but not on ${resource}.`;
    case 'args':
      return `${action} on ${resource} is permitted, but not with the argument "${miss.path}".`;
    case 'constraint':
      return `${action} on ${resource} is permitted, but the argument "${miss.path}" ${FAILED[miss.test]}.`;
  }
}

/** One sentence about what a request has too much. Without what the other scope holds. */
export function describeExcess(found: Excess): string {
  const { action, resource } = found;
  const alone = 'permissions are compared one by one, ranges split over two are not joined';
  switch (found.kind) {
    case 'action':
      return `The action ${action} is not given.`;
    case 'resource':
      return `The action ${action} is not given on ${resource} (${alone}).`;
    case 'args':
      return `${action} on ${resource} asks for more arguments than are given (${alone}).`;
    case 'constraint':
      return `${action} on ${resource} leaves the argument "${found.path}" wider than is given (${alone}).`;
    case 'check':
      return `${action} on ${resource} is given only with a check by the decision point (${alone}).`;
  }
}
