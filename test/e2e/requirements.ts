/**
 * What the product promises, one sentence each. A promise is kept by a test that calls
 * `verifies('<id>')`, or, where it is proved next to the code, by the test that `provenBy` names.
 * `requirements.test.ts` fails for a promise without either. A known gap is an `it.fails`.
 */
export type Requirement = {
  promise: string;
  /** The capability model, the bus, the feed, the ledger, or the clause of a standard. */
  source: string;
  provenBy?: { file: string; title: string };
};

const at = (file: string, title: string) => ({ provenBy: { file, title } });

const list = {
  'scope-algebra': {
    promise: 'What two scopes allow together is exactly what both admit.',
    source: 'capability: the algebra',
    ...at('packages/capability/src/scope/laws.test.ts', 'keeps the law %s: %s'),
  },
  'scope-nothing-is-nothing': {
    promise: 'Empty or missing never means everything.',
    source: 'capability: the algebra',
    ...at(
      'packages/capability/src/scope/scope.test.ts',
      'drops what admits nothing: empty or missing never means everything',
    ),
  },
  'scope-child-is-narrower': {
    promise: 'A delegated token never allows what an ancestor, an envelope or the user does not.',
    source: 'capability: rule 2',
    ...at(
      'packages/capability/src/delegation/delegation.test.ts',
      'never admits what an ancestor, an envelope or the user does not',
    ),
  },
  'links-two-readings': {
    promise: 'What is handed on offline is read alike by two verifiers that share no code.',
    source: 'capability: handing on offline',
    ...at(
      'packages/capability/src/link/agreement.test.ts',
      'agrees with a second verifier on chains of all kinds',
    ),
  },
  'links-recorded': {
    promise: 'Every call with a chain names all of it, and each link has a record when first seen.',
    source: 'capability: handing on offline',
    ...at(
      'packages/pep/src/chain.test.ts',
      'writes the whole chain in every record, and each link once when it is first seen',
    ),
  },
  'checked-copy': {
    promise: 'What was checked is what the tool gets: a frozen copy, never the request.',
    source: 'capability: numbers and arguments',
    ...at(
      'packages/pep/src/guard.test.ts',
      'runs with the frozen operation that was checked, not with the input',
    ),
  },
  'token-algorithms': {
    promise: 'An algorithm that is not on the list is refused before any key is looked up.',
    source: 'RFC 8725bis section 3.1',
    ...at(
      'packages/capability/src/token/verify.test.ts',
      'is refused before any key is looked up when its algorithm is not on the list',
    ),
  },
  'token-audience': {
    promise: 'A token is good at one audience, compared byte for byte.',
    source: 'RFC 9068 section 4',
    ...at(
      'packages/pep/src/decide.test.ts',
      'for another audience, also one that only looks alike',
    ),
  },
  'token-lifetime': {
    promise: 'A token lives 15 minutes at most.',
    source: 'capability: the token',
    ...at('packages/capability/src/token/capability.test.ts', 'give at most 15 minutes'),
  },
  'token-size': {
    promise: 'A token stays below 12 KB, or is refused with a name for it, never cut.',
    source: 'capability: the token',
    ...at(
      'services/issuer/src/http/decision-refusals.test.ts',
      'gives no token that is too long for a header',
    ),
  },
  'token-three-dimensions': {
    promise: 'A token is minted only from what agent, user and task allow together.',
    source: 'capability: rule 1',
    ...at(
      'services/pdp/src/decide/evaluate.test.ts',
      'is refused by each dimension alone, with its reason and the nearest miss',
    ),
  },
  'token-every-envelope': {
    promise: 'The envelope of every actor of a chain must admit each operation.',
    source: 'capability: rule 1',
    ...at(
      'services/pdp/src/decide/evaluate.test.ts',
      'asks the envelope of every actor of the chain',
    ),
  },
  'token-head-first': {
    promise: 'The head of the revocations is read before the decision is asked for.',
    source: 'revocation: sequences',
    ...at(
      'services/issuer/src/http/token.test.ts',
      'carries the head from before the decision, however far the feed has moved since',
    ),
  },
  'token-client-assertion-once': {
    promise: 'A client assertion is taken once.',
    source: 'RFC 7523 section 3',
    ...at('services/issuer/src/http/credential-refusals.test.ts', 'is taken once'),
  },
  'token-bearer-is-the-exception': {
    promise: 'A token is bound to a key unless the registry allows this agent bearer.',
    source: 'capability: the token',
    ...at(
      'services/issuer/src/http/token.test.ts',
      'is missing only for an agent that the registry allows bearer, and only without a proof',
    ),
  },
  'issuer-keys-rotate': {
    promise: 'Token keys rotate without an outage.',
    source: 'capability: the token',
    ...at(
      'services/issuer/src/app.test.ts',
      'are rotated without an outage: published ahead, then signing, kept for the old tokens',
    ),
  },
  'idp-keys-rotate': {
    promise: 'The keys of the identity provider rotate without an outage.',
    source: 'OpenID Connect Core section 10.1.1',
    ...at(
      'services/issuer/src/interop.test.ts',
      'the IdP rotates its key, and the next sign-in is good at once',
    ),
  },
  'proof-once': {
    promise: 'A proof of possession is good once, for one method and address, within ten seconds.',
    source: 'RFC 9449 section 4.3',
    ...at('packages/pep/src/decide.test.ts', 'is proved once: a replayed proof is refused'),
  },
  'proof-is-required': {
    promise: 'A bound token without its key is nothing, under whatever scheme it comes.',
    source: 'RFC 9449 section 7.1',
    ...at(
      'packages/pep/src/decide.test.ts',
      'is required: without proof, under Bearer, with another key, for another token',
    ),
  },
  'routes-say-what-they-do': {
    promise: 'A route that says neither what it does nor that it is public cannot be registered.',
    source: 'architecture: the enforcement point',
    ...at(
      'packages/pep/src/fastify.test.ts',
      'refuses a route that says neither what it does nor that it is public',
    ),
  },
  'one-spelling-of-a-path': {
    promise: 'Another spelling of a path reaches no guarded route.',
    source: 'attack catalogue: admin routes over raw sockets',
  },
  'refusals-tell-no-bounds': {
    promise:
      'A refusal names the caller’s own request and the argument’s path, never a bound or a policy.',
    source: 'capability: launching a task',
    ...at(
      'packages/pep/src/enforce.test.ts',
      'is its own request and the argument’s path, never a bound',
    ),
  },
  'revoked-within-a-second': {
    promise: 'A tool that follows the feed refuses within a second of the acknowledgement.',
    source: 'revocation: promise',
  },
  'revoked-by-every-kind': {
    promise:
      'Tokens, tasks, agents, users and clients are revoked by one event each; what is minted after lives.',
    source: 'revocation: what can be revoked',
  },
  'revoked-kills-descendants': {
    promise: 'A revoked token takes all its descendants with it.',
    source: 'revocation: what can be revoked',
    ...at('packages/pep/src/decide.test.ts', 'of an ancestor refuses the descendant'),
  },
  'revoked-stays-revoked': {
    promise: 'Once revoked in a view, always refused there.',
    source: 'revocation: the view',
    ...at(
      'packages/revocation-view/src/view.property.test.ts',
      'never allows what its log revokes, is never fresh on old news, and never un-revokes',
    ),
  },
  'stale-denies': {
    promise: 'A tool that is cut off allows nothing after its bound, and heals without a restart.',
    source: 'revocation: how a PEP knows',
  },
  'ahead-waits': {
    promise: 'A token that is ahead of the view is allowed only after the view caught up.',
    source: 'revocation: sequences',
  },
  'new-epoch-kills': {
    promise: 'A restored store starts a new epoch, which kills every older token.',
    source: 'revocation: sequences',
    ...at(
      'services/revocation/src/epoch.test.ts',
      'a new epoch kills every token decided before, keeps revoked keys, and views follow',
    ),
  },
  'forged-feed': {
    promise: 'No message of the feed is believed without its signature, type and shape.',
    source: 'bus: signed messages',
    ...at('packages/pep/src/feed.test.ts', 'is refused and changes nothing'),
  },
  'checked-again-after-recording': {
    promise: 'Revocation and freshness are looked at again after every wait of a check.',
    source: 'capability: rule 3',
    ...at(
      'packages/pep/src/decide.test.ts',
      'is refused when the task is revoked, the token dies or the feed goes quiet during the answer',
    ),
  },
  'single-use': {
    promise:
      'A token and all its descendants have one use between them, over all tools and restarts.',
    source: 'capability: rule 4',
    ...at('services/revocation/src/consume.test.ts', 'is one for a token and all its descendants'),
  },
  'single-use-unknown': {
    promise: 'A use whose outcome is unknown is a deny.',
    source: 'revocation: single use',
    ...at(
      'packages/pep/src/single-use-bus.test.ts',
      'is unknown after four times without an answer, and never allowed at this PEP later',
    ),
  },
  'status-list': {
    promise: 'A status list shows the effect of every revocation and never goes back.',
    source: 'Token Status List section 4',
    ...at(
      'services/revocation/src/status.test.ts',
      'is the same for another replica and after a restart, and takes nothing back',
    ),
  },
  'no-record-no-action': {
    promise: 'A call whose record cannot be kept does not happen.',
    source: 'audit: the way in',
    ...at(
      'packages/pep/src/enforce.test.ts',
      'is refused as audit_unavailable when it would have been allowed',
    ),
  },
  'every-record-arrives': {
    promise: 'No call leaves a record that the bus cannot carry or the ledger cannot read.',
    source: 'capability: rule 5',
    ...at(
      'packages/pep/src/record.test.ts',
      'what is recordable is carried by the bus and parsed by the ledger, whatever the arguments',
    ),
  },
  'no-secrets-in-records': {
    promise: 'No token, proof or key is in a record.',
    source: 'audit: one line answers the question',
    ...at(
      'packages/recorder/src/recorder.test.ts',
      'never carries a token, a proof or a key, whoever put it where',
    ),
  },
  'strangers-fill-nothing': {
    promise: 'What does not verify is counted, so that strangers cannot fill a spool.',
    source: 'audit: one line answers the question',
    ...at(
      'packages/recorder/src/recorder.test.ts',
      'can not make more records by coming from many places, and none is left out of the count',
    ),
  },
  'ledger-finds-changes': {
    promise: 'A record edited, deleted, moved or inserted behind the ledger’s back is named.',
    source: 'audit: tamper evidence',
    ...at(
      'packages/ledger/src/verify.test.ts',
      'finds every single change to any ledger with a signed end, no later than it lies',
    ),
  },
  'ledger-outside-anchor': {
    promise: 'A rewritten or restored ledger is found by the checkpoints that are kept outside.',
    source: 'audit: tamper evidence',
    ...at(
      'services/audit/src/store/verify.test.ts',
      'a restored backup is found by the checkpoints outside, and by nothing else',
    ),
  },
  'ledger-loses-nothing': {
    promise: 'What was sent while the audit service was down is in the ledger when it is back.',
    source: 'audit: the way in',
    ...at(
      'services/audit/src/app.test.ts',
      'what was sent while the service was down is in the ledger when it is back',
    ),
  },
  'tenants-by-id': {
    promise: 'Nothing of a tenant is found or changed from another one, by any id on any route.',
    source: 'attack catalogue: tenancy',
  },
  'tenants-in-tables': {
    promise: 'A transaction sees only the rows of its tenant.',
    source: 'architecture: every table behind withTenant',
    ...at(
      'packages/service-kit/src/data/database.test.ts',
      'shows and takes only the rows of its tenant',
    ),
  },
  'bus-permissions': {
    promise: 'A tool hears its tenant and its own marks on the bus, and nothing of another tenant.',
    source: 'bus: accounts and permissions',
    ...at(
      'test/attacks/bus-permissions.test.ts',
      'hears its tenant, its shard and its own marks, and nothing of another tenant',
    ),
  },
  'one-command': {
    promise: 'One command starts everything, tells the story, and leaves nothing behind.',
    source: 'architecture: running it',
    ...at(
      'test/e2e/demo-command.test.ts',
      'tells the story, answers with one JSON object, and leaves nothing behind',
    ),
  },
  'packed-packages': {
    promise:
      'The PEP and the agent SDK work from the packages that are published, as README shows.',
    source: 'architecture: folders',
    ...at(
      'test/e2e/packed.test.ts',
      'the tool and the agent of README.md work together from packed packages',
    ),
  },
  'refusal-explained': {
    promise: 'A developer is told what was asked, what was allowed and where the record is.',
    source: 'decision: three dimensions and the guardrails',
    ...at(
      'packages/cli/src/dev/denied.test.ts',
      'says code, dimension, what was asked, what was allowed, the decision and its record',
    ),
  },
  'older-siem-client': {
    promise: 'A SIEM reads the audit subject with a client and a durable of its own.',
    source: 'audit: out to the SIEM',
    ...at(
      'test/conformance/siem-older-client.test.ts',
      'a SIEM with the older nats client reads the audit subject with a durable of its own',
    ),
  },
} as const satisfies Record<string, Requirement>;

export type RequirementId = keyof typeof list;
export const requirements: Readonly<Record<string, Requirement>> = list;

/** Says inside a test which promise it keeps. Found by reading: the id is a literal. */
export function verifies(id: RequirementId): void {
  if (!Object.hasOwn(list, id)) throw new Error(`no requirement is called ${id}`);
}
