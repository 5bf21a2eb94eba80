import { forward, readRoutes } from './forward.ts';

const routes = process.env['EDGE_ROUTES'];
if (!routes) {
  process.stderr.write('edge: EDGE_ROUTES is missing. Give PORT=HOST:PORT,...\n');
  process.exit(78);
}
const servers = await Promise.all(
  readRoutes(routes).map((route) => forward(route, { listenHost: '0.0.0.0' })),
);
process.stdout.write(`edge: ${routes}\n`);
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    for (const server of servers) server.close();
    process.exit(0);
  });
}
