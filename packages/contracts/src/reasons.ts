/**
 * Why something was allowed or refused: closed codes with one plain sentence each. A record carries
 * one; `docs/error-codes.md` lists them all.
 */
export const REASONS = {
  permitted: 'The scope admits the operation and nothing refuses it.',

  token_missing: 'The call carries no capability token.',
  token_too_large: 'The token, its links and its proof are larger than 12 KB together.',
  token_malformed: 'The token is not a well-formed capability token.',
  token_algorithm: 'The token names an algorithm that is not accepted.',
  token_key_unknown: 'The token names a signing key that its issuer does not publish.',
  token_signature: "The token's signature does not verify.",
  token_issuer: "The token comes from an issuer other than this tenant's.",
  token_audience: 'The token was issued for another audience.',
  token_expired: 'The token has expired.',
  token_not_yet_valid: 'The token is not valid yet.',
  token_lifetime: 'The token lives longer than 15 minutes.',

  links_not_allowed: 'The token may not be handed on offline.',
  link_malformed: 'A link is not well-formed, or an element of the chain is missing.',
  link_key: 'A link is signed with another key than what it hands on is bound to.',
  link_spliced: 'A link does not follow the text before it.',
  link_signature: 'The signature of a link does not verify.',
  link_lifetime: 'A link begins before or ends after what it hands on.',
  link_widening: 'A link gives more than was given to its holder.',

  proof_required: 'The token is bound to a key and the call carries no proof of it.',
  proof_invalid: 'The DPoP proof is not a well-formed, correctly signed proof.',
  proof_key: 'The DPoP proof is signed with another key than the token is bound to.',
  proof_binding: 'The DPoP proof was made for another method, address or token.',
  proof_body: 'The DPoP proof was made for another body, or for none.',
  proof_nonce: 'The DPoP proof lacks the nonce that this enforcement point gave.',
  proof_expired: "The DPoP proof's time is outside the accepted window.",
  proof_replayed: 'The DPoP proof was used before.',
  proof_unavailable: 'Whether the DPoP proof was used before is not known, so it is not taken.',
  proof_scheme: 'A bound token came under the Bearer scheme, or an unbound one under DPoP.',
  token_unbound: 'The token is bound to no key, and only bound ones are taken here.',

  token_revoked: 'The token is revoked.',
  ancestor_revoked: 'A token that this one descends from is revoked.',
  task_revoked: 'The task is revoked.',
  agent_revoked: 'An agent of the chain is revoked.',
  user_revoked: 'The user is revoked.',
  client_revoked: 'The client is revoked.',
  tenant_revoked: 'The tenant is revoked.',
  key_revoked: 'A key of the token is revoked.',
  epoch_ended: 'The token was decided under an older epoch of the revocation store.',
  status_stale: 'The revocation feed is not fresh, so nothing is allowed.',
  status_behind: 'The token is ahead of the revocations known here.',

  single_use_spent: 'The single use of the token and its descendants is spent.',
  single_use_unavailable:
    'Whether the single use was consumed is not known, so the token is not used here again.',

  budget_exceeded: 'A budget of the token has less left than the call would spend.',
  budget_amount:
    'A budget of the token counts an argument that is missing or not one exact number from zero up.',
  budget_unavailable:
    'Whether the budgets of the token allow the call is not known, so it does not happen.',

  arguments_invalid: 'The arguments cannot be read as one unambiguous operation.',
  scope_action: 'The token does not cover the action.',
  scope_resource: 'The token does not cover the resource.',
  scope_arguments: 'The token does not cover an argument that was given.',
  scope_constraint: 'An argument is outside what the token allows.',

  agent_envelope: "The agent's envelope does not cover the request.",
  agent_inactive: 'The agent is suspended or unknown.',
  user_entitlement: 'The user is not entitled to the request.',
  user_inactive: 'The user is disabled or unknown.',
  task_scope: "The task's scope does not cover the request.",
  policy_forbid: 'A guardrail forbids the request.',
  approval_required: 'A guardrail asks for an approval that the request does not have.',
  step_up_required: 'A guardrail asks for a stronger or fresher sign-in of the user.',
  obligation_unfulfilled:
    'The decision asks for something that the enforcement point cannot do or did not manage.',
  external_forbid: "The organisation's own decision point refuses the request.",
  external_unavailable:
    "The organisation's own decision point gave no answer that can be believed, so the request is refused.",
  policy_error: 'A policy could not be evaluated, so the request is refused.',
  scope_too_large: 'The scope that all dimensions allow passes a limit.',

  client_unauthenticated: 'The client did not authenticate.',
  assertion_replayed: 'The client assertion was used before.',
  subject_token_invalid: "The user's identity token is not acceptable.",
  launcher_not_allowed: 'The identity token was issued to a client that may not launch this agent.',
  user_unknown: 'The identity token names no user of the registry.',
  task_type_not_allowed: 'The client may not start this task type.',
  holder_mismatch: 'The client is not the current actor of the token that it presents.',
  actor_token_invalid: "The next actor's token is not acceptable.",
  actor_token_replayed: "The next actor's token was used before.",
  actor_repeated: 'The agent acts in the chain already.',
  actor_not_named: 'The token does not name this agent, with this key, as a next actor.',
  depth_exceeded: 'The chain of tokens is as long as its task allows.',
  not_narrower: 'What is handed on gives nothing up.',
  lifetime_spent: 'The token does not live long enough to be handed on.',
  not_renewable: "The token is not a first token of a running task's own agent and key.",
  task_over: 'The task has ended, so none of its tokens is renewed.',
  slot_invalid: 'A slot of the task type is missing, unknown or of another type.',
  target_unknown: 'The registry knows no tool with this audience.',
  request_malformed: 'The request is not well-formed.',
  tenant_unknown: 'There is no such tenant.',

  person_unauthenticated: 'The person did not present an access token for this service.',
  person_not_allowed: 'The person has not the role that this needs.',

  registry_unavailable: 'The registry could not be asked.',
  pdp_unavailable: 'The PDP could not be asked.',
  idp_unavailable: "The keys of the user's identity provider could not be had.",
  revocation_unavailable: 'The revocation service could not be asked.',
  audit_unavailable: 'The record of this call could not be kept, so it does not happen.',
  overloaded:
    'A limit of the enforcement point is reached, so nothing more is allowed for a moment.',
  internal: 'Something failed inside, so nothing is allowed.',
} as const;

export type Reason = keyof typeof REASONS;

/** Whether a text is a reason of this version. */
export function isReason(value: string): value is Reason {
  return Object.hasOwn(REASONS, value);
}
