import type { InvariantId } from './checkers/model.ts';

/** One protection that is taken out: where its line is, and what stands there instead. */
export type Sabotage = {
  breaks: InvariantId;
  says: string;
  file: string;
  find: string;
  put: string;
};

/**
 * One per invariant that a PEP keeps. `protections.ts` takes out what I6 rests on: what replicas
 * know of the store from outside. `sabotage.ts` fails when a line is no longer there.
 */
export const SABOTAGES: Readonly<Record<string, Sabotage>> = {
  'leave-no-record': {
    breaks: 'I1',
    says: 'the PEP lets a call through without its record',
    file: 'packages/pep/src/enforce.ts',
    find: 'await recorder.record(tenant, callRecord(context, finding, caller));',
    put: '',
  },
  'forget-revocations': {
    breaks: 'I2',
    says: 'the view does not look a token up among what is revoked',
    file: 'packages/revocation-view/src/view.ts',
    find: 'if (hit) return',
    put: 'if (hit && false) return',
  },
  'never-stale': {
    breaks: 'I3',
    says: 'the view calls itself fresh however old its youngest beat is',
    file: 'packages/revocation-view/src/view.ts',
    find: 'return feedMs - beatMs <= maxStaleMs;',
    put: 'return true;',
  },
  'use-again': {
    breaks: 'I4',
    says: 'the PEP takes a spent use for a consumed one',
    file: 'packages/pep/src/single-use.ts',
    find: "if (outcome === 'spent') return 'single_use_spent';",
    put: "if (outcome === 'spent') return 'permitted';",
  },
  'any-scope': {
    breaks: 'I5',
    says: 'the PEP does not look at what a token permits',
    file: 'packages/pep/src/decide.ts',
    find: 'if (!admitted.ok) {',
    put: 'if (!admitted.ok && false) {',
  },
  'believe-anyone': {
    breaks: 'I7',
    says: 'signatures of events are not verified',
    file: 'packages/bus/src/verifier.ts',
    find: "if (!verify(null, Buffer.from(parts.signingInput, 'latin1'), key, signature)) {",
    put: 'if (false) {',
  },
  'give-up': {
    breaks: 'I8',
    says: 'a connection that is lost is not made again',
    file: 'packages/bus/src/link.ts',
    find: 'maxReconnectAttempts: -1,',
    put: 'maxReconnectAttempts: 0,',
  },
};
