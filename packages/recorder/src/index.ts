export { RecorderError, type RecorderErrorCode } from './error.ts';
export type { RecordInput, Trust } from './record-input.ts';
export {
  createRecorder,
  type Home,
  type Recorder,
  type RecorderLimits,
  type RecorderOptions,
  type RecorderStats,
} from './recorder.ts';
export type { Stranger } from './stranger-counts.ts';
