/** Id of the platform's own policy, in every answer that allows. */
export const PLATFORM_POLICY = 'remit:dimensions';

/** An operation is permitted only when all three dimensions admit it; guardrails can only forbid. */
export const PLATFORM_TEXT = `permit (principal, action, resource)
when { context.dimensions.agent && context.dimensions.user && context.dimensions.task };`;
