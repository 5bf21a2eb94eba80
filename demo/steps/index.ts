import { aliceSummary } from './alice-summary.ts';
import { oneLine } from './one-line.ts';
import { revokeTask } from './revoke-task.ts';
import type { Step } from './step.ts';
import { wrongJob } from './wrong-job.ts';

/** The story, in the order in which it is told. A step may use what an earlier one left in `memory`. */
export const steps: readonly Step[] = [aliceSummary, wrongJob, revokeTask, oneLine];
