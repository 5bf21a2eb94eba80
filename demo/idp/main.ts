import { readFileSync } from 'node:fs';
import { createIdp, type IdpOptions } from './provider.ts';

/**
 * The settings file holds {@link IdpOptions}; its path is the only argument. In a container `IDP_HOST` is
 * the address to listen on: the issuer's name is then that of something in front of it.
 */
const options = JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as IdpOptions;
const server = await createIdp(options);
const { hostname, port } = new URL(options.issuer);
server.listen(Number(port), process.env['IDP_HOST'] ?? hostname);

const parent = process.ppid;
const stop = () => {
  server.close();
  server.closeAllConnections();
  process.exit(0);
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
setInterval(() => {
  if (process.ppid !== parent) stop();
}, 500).unref();
