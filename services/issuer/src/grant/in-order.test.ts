import { expect, it } from 'vitest';
import { inOrder } from './in-order.ts';

const later = async (what: string): Promise<never> => {
  await new Promise((resolve) => setImmediate(resolve));
  throw new Error(what);
};

it('answers in the order of the work', async () => {
  expect(await inOrder([Promise.resolve('a'), Promise.resolve(2)])).toEqual(['a', 2]);
});

// Red with Promise.all, which throws what happens to fail first.
it('throws what the first in order throws, whatever fails first', async () => {
  const never = new Promise<never>(() => {});
  await expect(inOrder([later('first'), Promise.reject(new Error('second'))])).rejects.toThrow(
    'first',
  );
  await expect(inOrder([Promise.reject(new Error('first')), never])).rejects.toThrow('first');
});
