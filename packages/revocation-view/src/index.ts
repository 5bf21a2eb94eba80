export { RevocationViewError, type RevocationViewErrorCode } from './error.ts';
export {
  createRevocationSet,
  type RevocationHit,
  type RevocationSet,
} from './revocation-set.ts';
export type {
  RevocationEvent,
  RevocationView,
  RevocationViewOptions,
  ViewNeed,
  ViewStats,
  ViewVerdict,
} from './types.ts';
export { createRevocationView } from './view.ts';
