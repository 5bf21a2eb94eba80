import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeKeys, writeSecret } from '@remit/stack';
import type { IdpOptions } from '../idp/provider.ts';
import { AGENTS, APP, OTHERS, PEOPLE, TENANTS } from '../organisation.ts';
import { PORTS } from './ports.ts';

// What the organisation brings to the containers, each kind into a folder (a volume) of its own:
// passwords of people for its IdP, private keys of agents, and the public ones that its administrators
// are sent. What exists is kept.

const { values } = parseArgs({ options: { out: { type: 'string' }, url: { type: 'string' } } });
const { out, url } = values;
if (!out || !url) {
  process.stderr.write('node demo/compose/init.ts --out DIR --url URL\n');
  process.exit(2);
}
const people = join(out, 'idp', 'people.json');
if (!existsSync(people)) {
  const made = [...Object.keys(PEOPLE), ...OTHERS].map((user) => [
    user,
    randomBytes(9).toString('base64url'),
  ]);
  writeSecret(people, Object.fromEntries(made));
}
const settings: IdpOptions = {
  issuer: `${url}:${PORTS.idp}`,
  users: JSON.parse(readFileSync(people, 'utf8')) as Record<string, string>,
  clients: [APP],
  resources: TENANTS.flatMap((tenant) =>
    (['pdp', 'revocation', 'audit', 'registry'] as const).map(
      (service) => `${url}:${PORTS[service]}/t/${tenant}`,
    ),
  ),
};
writeSecret(join(out, 'idp', 'idp.json'), settings);

const keys = await makeKeys(join(out, 'agents'), {
  tenants: [],
  agents: AGENTS.map(({ id }) => id),
});
for (const { id } of AGENTS) {
  const set = { keys: keys.publicKeys(keys.agentFile(id)) };
  writeFileSync(join(out, 'agent-keys', `${id}.jwks.json`), JSON.stringify(set));
}
process.stdout.write('demo-init: people and agents are there\n');
