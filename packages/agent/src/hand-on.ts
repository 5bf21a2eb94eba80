import {
  type Capability as Claims,
  describeExcess,
  LinkError,
  readCapability,
  type Scope,
  ScopeError,
  scope,
  splitChain,
  TokenError,
  verifyChain,
} from '@remit/capability';
import { type PermissionJson, parseJsonStrict } from '@remit/contracts';
import type { Capability } from './capability.ts';
import { AgentError } from './error.ts';
import type { Handover } from './handover.ts';
import type { ProofKey } from './keys.ts';

/** What of a token is handed on without the issuer, and to whom. */
export type HandOnRequest = {
  /** The `jkt` of the holder that is to have it. */
  readonly to: string;
  /** What it is to have: within the token; for another agent less than the token. */
  readonly permissions: readonly PermissionJson[];
  /** Seconds from now until it ends. Default: a second before the token does. */
  readonly expiresInSeconds?: number;
};

/**
 * Signs a link behind a token (02, Handing on offline) and packs the chain for its receiver. The token's
 * claims are read without the issuer's signature, which its receiver's tools verify.
 * Throws AgentError `HAND_ON_REFUSED` or `OPTION_INVALID`.
 */
export function handOn(
  held: Capability,
  request: HandOnRequest,
  by: { key: ProofKey; nowSeconds: number },
): Handover {
  const wanted = readPermissions(request.permissions);
  return judged(() => {
    const capability = claimsOf(held.token);
    // The issuer's clock may be ahead of this one: a link begins no earlier than what it hands on.
    const issuedAt = Math.max(by.nowSeconds, capability.issuedAt);
    const latest = capability.expiresAt - 1;
    const asked = request.expiresInSeconds ?? Number.POSITIVE_INFINITY;
    const expiresAt = Math.min(latest, issuedAt + Math.floor(asked));
    if (expiresAt <= issuedAt) {
      throw new AgentError('HAND_ON_REFUSED', 'the token has ended, or is about to', {
        details: { code: 'EXPIRY_WIDENING' },
      });
    }
    const { text, link } = by.key.link({
      capability,
      text: held.token,
      jkt: request.to,
      scope: wanted,
      issuedAt,
      expiresAt,
    });
    return {
      token: text,
      audience: held.audience,
      expiresAt: new Date(link.capability.expiresAt * 1000).toISOString(),
      permissions: link.capability.scope.permissions as readonly PermissionJson[],
      task: held.task,
    };
  });
}

/** What a token and its links say. Links are verified, so that none is built on what will not hold. */
function claimsOf(text: string): Claims {
  const { token, links } = splitChain(text);
  const [, payload = ''] = token.split('.');
  const claims = readCapability(
    parseJsonStrict(Buffer.from(payload, 'base64url').toString('utf8')),
  );
  if (links.length === 0) return claims;
  return verifyChain(claims, text, { algorithms: ['ES256', 'Ed25519'] }).capability;
}

function readPermissions(permissions: readonly PermissionJson[]): Scope {
  try {
    return scope(permissions);
  } catch (cause) {
    if (!(cause instanceof ScopeError)) throw cause;
    throw new AgentError('OPTION_INVALID', cause.message, { cause });
  }
}

function judged(work: () => Handover): Handover {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof LinkError) {
      const { excess, bound } = cause.context;
      throw new AgentError('HAND_ON_REFUSED', cause.message, {
        details: {
          code: cause.code,
          ...(bound === undefined ? {} : { bound }),
          ...(excess === undefined ? {} : { excess: describeExcess(excess) }),
        },
        cause,
      });
    }
    if (cause instanceof AgentError) throw cause;
    const unreadable = cause instanceof TokenError ? cause.code : 'TOKEN_MALFORMED';
    throw new AgentError('HAND_ON_REFUSED', 'the token cannot be read', {
      details: { code: unreadable },
      cause,
    });
  }
}
