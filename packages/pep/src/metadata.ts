import { CAPABILITY_TYPE } from '@remit/capability/token';

/** What a person should know of this resource (RFC 9728 section 2); every member is optional. */
export type ResourceDescription = {
  resource_name?: string;
  resource_documentation?: string;
  resource_policy_uri?: string;
  resource_tos_uri?: string;
};

/** The protected resource metadata of one audience, and where it belongs. */
export type ResourceMetadata = {
  /** Where clients look for it: what challenges name. */
  readonly url: string;
  /** The path of `url`: where the server has to serve it, without authorization. */
  readonly path: string;
  /** The document, served as `application/json`. */
  readonly document: Readonly<Record<string, unknown>>;
};

const WELL_KNOWN = '/.well-known/oauth-protected-resource';

/**
 * The metadata of an audience (RFC 9728 section 2) with the well-known path inserted before the path of
 * the audience (section 3.1). `resource` is the audience, character by character. Undefined for an
 * audience that is no http(s) URL, or has a query, a fragment or credentials: it has no such place.
 */
export function resourceMetadata(options: {
  audience: string;
  issuer: string;
  proofAlgorithms: readonly string[];
  acceptBearer: boolean;
  description?: ResourceDescription | undefined;
}): ResourceMetadata | undefined {
  const parts = /^(https?:\/\/[^/?#@\s"\\]+)(\/[^?#\s"\\]*)?$/i.exec(options.audience);
  if (!parts || !URL.canParse(options.audience)) return undefined;
  const [, origin = '', path = ''] = parts;
  const place = WELL_KNOWN + (path === '/' ? '' : path);
  return {
    url: origin + place,
    path: place,
    document: {
      resource: options.audience,
      authorization_servers: [options.issuer],
      bearer_methods_supported: ['header'],
      authorization_details_types_supported: [CAPABILITY_TYPE],
      dpop_signing_alg_values_supported: [...options.proofAlgorithms],
      dpop_bound_access_tokens_required: !options.acceptBearer,
      ...options.description,
    },
  };
}
