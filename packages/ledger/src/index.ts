export { verifyConsistency, verifyInclusion } from './check-proof.ts';
export {
  type Checkpoint,
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  peekCheckpoint,
  signCheckpoint,
} from './checkpoint.ts';
export {
  cosignatureTime,
  ed25519Cosigner,
  mlDsa44Cosigner,
  mlDsa44Verifier,
  noteVerifier,
} from './cosignature.ts';
export {
  appendLeaf,
  decodeEdge,
  type Edge,
  edgeRoot,
  emptyEdge,
  encodeEdge,
  type TreeNode,
} from './edge.ts';
export { LedgerError, type LedgerErrorCode } from './error.ts';
export {
  type ExportedRecord,
  type ExportLine,
  formatExportLine,
  LEAVES_PER_LINE,
} from './export.ts';
export type { Fault, FaultKind } from './fault.ts';
export { emptyRoot, leafHash, nodeHash, sameHash } from './hash.ts';
export {
  formatNote,
  type Note,
  type NoteSignature,
  type NoteSigner,
  type NoteVerifier,
  openNote,
  parseNote,
  signNote,
} from './note.ts';
export {
  ed25519Signer,
  ed25519Verifier,
  formatVkey,
  keyObject,
  noteKeyId,
  parseVkey,
  SIGNATURE_TYPES,
  type SignatureType,
  type VerifierKey,
  verifierKey,
} from './note-keys.ts';
export {
  consistencyProof,
  type HashReader,
  inclusionProof,
  rootAt,
  TILE_HEIGHT,
} from './prove.ts';
export {
  type KeptCheckpoint,
  type LedgerReport,
  type LedgerRow,
  type VerifyInput,
  verifyLedger,
} from './verify.ts';
export {
  type ExportReport,
  retainedTo,
  type VerifyExportInput,
  verifyExport,
} from './verify-export.ts';
export {
  type AddCheckpoint,
  cosign,
  cosignaturesOf,
  formatAddCheckpoint,
  judgeCheckpoint,
  parseAddCheckpoint,
  type WitnessedLog,
  type WitnessVerdict,
} from './witness.ts';
