/** Names of the token endpoint, as their RFCs spell them. */
export const GRANT_TYPES = {
  tokenExchange: 'urn:ietf:params:oauth:grant-type:token-exchange',
} as const;

/** RFC 8693 section 3. */
export const TOKEN_TYPES = {
  accessToken: 'urn:ietf:params:oauth:token-type:access_token',
  idToken: 'urn:ietf:params:oauth:token-type:id_token',
  jwt: 'urn:ietf:params:oauth:token-type:jwt',
} as const;

/** RFC 7523 section 2.2. */
export const JWT_BEARER_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Types of RFC 9396 objects: a task type with its slots, and a permission. */
export const DETAIL_TYPES = {
  task: 'urn:remit:task:1',
  capability: 'urn:remit:capability:1',
} as const;
