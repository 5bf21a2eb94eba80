import { jwkThumbprint } from '@remit/capability/token';

/** A key's id (RFC 7638); what is no key has one that nobody pins. */
export function kidOf(key: object): string {
  try {
    return jwkThumbprint(key);
  } catch {
    return 'unreadable';
  }
}
