import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** What an attacker tries, by the row that tests are named after. */
const ATTACKS: Readonly<Record<number, string>> = {
  1: 'no signature: `alg` none in any spelling, an empty signature',
  2: 'HMAC keyed with the public key',
  3: 'the signature of one algorithm under the key id of another',
  4: 'key ids that are paths, SQL, prototype names, long or missing',
  5: 'a key, or the address of one, in the header',
  6: '`crit`, `b64`, `zip`',
  7: 'a flood of unknown key ids',
  8: 'another kind of JWT in place of a token',
  9: 'other serialisations, duplicate members, encodings, trailing data',
  10: 'claims beside the signed ones',
  11: 'the keys of another tenant’s issuer',
  12: 'an audience that is almost the right one, or several',
  13: 'ML-DSA signatures that are changed, cut or lengthened',
  14: 'a compromised key that is still published',
  15: 'times that are missing, of another type, over, early or far apart',
  16: 'a wrong clock at an enforcement point',
  17: 'one single use, or one budget, at many enforcement points at once',
  18: 'what was spent, after everything was started again',
  19: 'a use or a budget while its ledger is away',
  20: 'a mark of use that is forgotten too early',
  21: 'a revocation that races with uses',
  22: 'an ancestor, agent, user or key that is revoked, and what hangs on it',
  23: 'an exchange of what is being revoked',
  24: 'a store or status list of the past',
  25: 'a feed that is silent',
  26: 'status lists of others, and indices outside',
  27: 'one status index for two tokens; a list that is full',
  28: 'a stolen token without its key',
  29: 'a DPoP proof used again, too old or too early',
  30: 'a DPoP proof for another request, or one that is none',
  31: 'actions that were not given; empty and missing lists',
  32: 'resources that a path reader would repair',
  33: 'case, look-alikes, invisible characters',
  34: 'globs and wider patterns',
  35: 'bounds that are not exact numbers',
  36: 'constraints swapped, dropped, doubled, unknown',
  37: 'constraints that are null, empty or missing',
  38: 'a longer life',
  39: 'another or a second audience',
  40: 'another user, tenant, task or chain of actors',
  41: 'cycles, delegation to oneself, depth',
  42: 'an actor token of somebody or something else, or used before',
  43: 'two tokens, two proofs, one’s action on the other’s resource',
  44: 'a client that is not the holder',
  45: 'a child with a weaker binding',
  46: 'a guardrail that fails while it is evaluated',
  47: 'forged, incomplete, replayed or missing answers of the PDP',
  48: 'ids that try to be Cedar entities',
  49: 'inputs that differ in one field, and caches between',
  50: 'another tenant’s things by guessed id',
  52: 'arguments that change between the check and the call, or have another form',
  53: 'a bundle of guardrails that is malformed, blank, oversized or an old one',
  54: 'publishing to the feed without being the revocation service',
  55: 'answers of services as events',
  56: 'kept events, beats and answers sent again, or as another kind',
  57: 'an id of the ledger used again for other content',
  58: 'ids with the characters of bus subjects',
  59: 'an enforcement point that is suspended or blinded',
  60: 'joining a service’s queue on the bus',
  61: 'an enforcement point behind a line that is cut',
  63: 'a ledger that is edited, cut, reordered or forked by who owns the database',
  64: 'log, terminal and ledger injection; what cannot be recorded',
  65: 'SQL and numbers in filters',
  66: 'members that reach a prototype',
  67: 'large, deep and wide input',
  68: 'text that keeps a pattern busy',
  69: 'addresses that a token names for keys',
  70: 'secrets left in logs and rows',
  71: 'telling who is registered by answer or time',
  72: 'administration without the right person, or by another spelling',
  73: 'request smuggling, encodings, rewritten bodies',
};

type Found = { file: string; title: string; fails: boolean };

/** Every test below `test/attacks` that is named after a row. */
export function attackTests(root: string): ReadonlyMap<number, readonly Found[]> {
  const found = new Map<number, Found[]>();
  for (const file of globSync('test/attacks/**/*.ts', { cwd: root }).toSorted()) {
    const source = readFileSync(join(root, file), 'utf8');
    const named = /((?:test|it)(\.fails)?|\]\))\(\s*'row (\d+): ([^']+)'/g;
    for (const [, , fails, row, title = ''] of source.matchAll(named)) {
      const tests = found.get(Number(row)) ?? [];
      found.set(Number(row), tests);
      tests.push({ file, title, fails: fails !== undefined });
    }
  }
  return found;
}

/** `docs/attacks.md`, whole. Throws for a test of a row that the table does not know. */
export function renderAttacks(root: string): string {
  const tests = attackTests(root);
  for (const row of tests.keys()) {
    if (!Object.hasOwn(ATTACKS, row)) throw new Error(`row ${row} is not in the table of attacks`);
  }
  const rows = Object.entries(ATTACKS).map(([row, attack]) => {
    const found = tests.get(Number(row)) ?? [];
    return `| ${row} | ${attack} | ${found.map(link).join('<br>')} | ${resultOf(found)} |`;
  });
  return `# Attacks

Written by \`node test/conformance/write-docs.ts\` from the names of the tests in \`test/attacks\`; a test compares it with them.

Each row is at least one test against running services. It asserts the refusal’s reason, that nothing changed (rows of the tool, tasks, registrations), and, in the files of \`rows\` most of all, the record of a caller who is known; strangers are counted. The files of enforcement points, feed and spending read the answer and what the tool did, and decision.test asks the algebra alone. \`refused\`: all tests of the row hold. \`partly open\`: one of them is a known gap, shown by a test that is expected to fail. \`open\`: no test in \`test/attacks\` yet.

Run them with \`pnpm vitest run test/attacks\`.

| row | attack | test | result |
|---|---|---|---|
${rows.join('\n')}
`;
}

function link({ file, title, fails }: Found): string {
  const text = title.replaceAll('|', '\\|').replaceAll('%s', '…').replaceAll('%j', '…');
  return `[${basename(file, '.ts')}](../${file}): ${fails ? '**gap** ' : ''}${text}`;
}

function resultOf(found: readonly Found[]): 'open' | 'partly open' | 'refused' {
  if (found.length === 0) return 'open';
  return found.some(({ fails }) => fails) ? 'partly open' : 'refused';
}
