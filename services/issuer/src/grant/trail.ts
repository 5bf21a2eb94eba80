import type { Capability, ChainLink } from '@remit/capability';
import type { PermissionJson, Rev } from '@remit/contracts';

/**
 * What a request has shown about itself so far, for its record. Only verified facts are in it: while
 * `client` is missing, nobody has said anything that was proved.
 */
export type Trail = {
  client?: string;
  /** The audience of a resource server that proved who it is. */
  server?: string;
  user?: string;
  jkt?: string;
  audience?: string;
  taskType?: string;
  taskId?: string;
  /** The access token that was presented, its signature verified. */
  held?: Capability;
  /** Its offline hops. */
  links?: readonly ChainLink[];
  /** The agent that an actor token named, its signature verified. */
  nextActor?: string;
  requested?: readonly PermissionJson[];
  rev?: Rev;
};
