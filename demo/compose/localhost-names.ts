import dns from 'node:dns';

/**
 * Makes this process resolve names below `localhost` to this machine, as browsers and curl do
 * (RFC 6761 section 6.3) and as not every C library does. Returns how to undo it.
 */
export function resolveLocalhostNames(): () => void {
  const lookup = dns.lookup;
  const local = (...args: unknown[]): void => {
    const [name, ...rest] = args as [string, ...unknown[]];
    const host = name.toLowerCase().endsWith('.localhost') ? '127.0.0.1' : name;
    (lookup as (...args: unknown[]) => void)(host, ...rest);
  };
  // `net.connect` asks this property at each call.
  dns.lookup = Object.assign(local, lookup) as typeof dns.lookup;
  return () => {
    dns.lookup = lookup;
  };
}
