/**
 * Awaits what runs side by side and answers as if it had run one after the other: what the first in
 * order throws is thrown, without waiting for the others.
 */
export async function inOrder<T extends readonly Promise<unknown>[]>(
  work: readonly [...T],
): Promise<{ -readonly [N in keyof T]: Awaited<T[N]> }> {
  for (const one of work) one.catch(() => undefined);
  const results: unknown[] = [];
  for (const one of work) results.push(await one);
  return results as { -readonly [N in keyof T]: Awaited<T[N]> };
}
