// Stands in for a service in the stack's own tests: says what it was given, ends when it is told to.
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  response.statusCode = request.url === '/readyz' ? 200 : 404;
  response.end(JSON.stringify(Object.keys(process.env).filter((key) => key.startsWith('REMIT_'))));
});
server.listen(Number(process.env['REMIT_HTTP_PORT']), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
