import { rmSync } from 'node:fs';

/** Removes a folder of ours with all that is in it. */
export function removeFolder(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}
