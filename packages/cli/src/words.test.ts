import { expect, it } from 'vitest';
import { permissionInWords } from './words.ts';

const order = { actions: ['orders.create'], resources: ['erp/orders'] };

it.each([
  [{ ...order, args: [] }, 'orders.create on erp/orders'],
  [{ ...order, args: 'any' as const }, 'orders.create on erp/orders: any arguments'],
  [
    {
      ...order,
      args: ['supplier', 'item', 'amount', 'currency'],
      constraints: {
        supplier: { in: ['S-100'] },
        amount: { min: 0, max: 5_000 },
        currency: { in: ['EUR', 'CHF'] },
      },
    },
    'orders.create on erp/orders: supplier S-100, amount up to 5,000, currency EUR or CHF, any item',
  ],
  [
    {
      actions: ['mail.send', 'mail.draft'],
      resources: ['mail/out'],
      args: 'any' as const,
      constraints: {
        to: { maxItems: 3, each: { emails: ['corp.example'] } },
        delay: { min: 1.5, max: 12_000, optional: true as const },
        bcc: { absent: true as const },
      },
    },
    'mail.send, mail.draft on mail/out: to up to 3 elements and each at corp.example, delay 1.5 to 12,000 (optional), no bcc, anything else',
  ],
])('says a permission in words: %#', (permission, words) => {
  expect(permissionInWords(permission)).toBe(words);
});
