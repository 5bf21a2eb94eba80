import type { Capability } from '@remit/agent';

/** Orders lubricant from S-100 for an amount in EUR. */
export function orderOf(capability: Capability, erpUrl: string, amount: number): Promise<Response> {
  return capability.fetch(`${erpUrl}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      supplier: 'S-100',
      item: 'Industrial lubricant, 200 l',
      amount,
      currency: 'EUR',
    }),
  });
}
