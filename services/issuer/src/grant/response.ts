import { toAuthorizationDetails } from '@remit/capability';
import type { SignedToken } from './issue.ts';
import { TOKEN_TYPES } from './names.ts';

/**
 * The answer that hands a token out (RFC 8693 section 2.2.1). `authorization_details` are those of
 * the token, which can be less than what was asked for (RFC 9396 section 7); `task` is ours.
 */
export function tokenResponse({ token, capability, jkt, taskUntilSeconds }: SignedToken) {
  return {
    access_token: token,
    issued_token_type: TOKEN_TYPES.accessToken,
    token_type: jkt === undefined ? 'Bearer' : 'DPoP',
    expires_in: capability.expiresAt - capability.issuedAt,
    authorization_details: toAuthorizationDetails(capability.scope),
    task: { id: capability.task.id, type: capability.task.type, until: taskUntilSeconds },
  };
}
