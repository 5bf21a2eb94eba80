import { aliceSummary } from './alice-summary.ts';
import { beyondEnvelope } from './beyond-envelope.ts';
import { blind } from './blind.ts';
import { bobOrder } from './bob-order.ts';
import { carolTerms } from './carol-terms.ts';
import { delegate } from './delegate.ts';
import { delegateDeeper } from './delegate-deeper.ts';
import { delegateWider } from './delegate-wider.ts';
import { injectedExport } from './injected-export.ts';
import { leaver } from './leaver.ts';
import { oneLine } from './one-line.ts';
import { overCeilingCall } from './over-ceiling-call.ts';
import { overCeilingMint } from './over-ceiling-mint.ts';
import { policyChange } from './policy-change.ts';
import { revokeTask } from './revoke-task.ts';
import { singleUse } from './single-use.ts';
import type { Step } from './step.ts';
import { stolen } from './stolen.ts';
import { wrongJob } from './wrong-job.ts';

/** The story, in the order in which it is told. A step may use what an earlier one left in `memory`. */
export const steps: readonly Step[] = [
  aliceSummary,
  wrongJob,
  bobOrder,
  carolTerms,
  overCeilingMint,
  overCeilingCall,
  beyondEnvelope,
  injectedExport,
  delegate,
  delegateWider,
  delegateDeeper,
  singleUse,
  stolen,
  revokeTask,
  leaver,
  policyChange,
  blind,
  oneLine,
];
