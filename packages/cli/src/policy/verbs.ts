import type { DevFile } from '@remit/contracts';
import type { Command } from 'commander';
import { deploymentOf, doctor } from '../doctor/doctor.ts';
import { openService } from '../service.ts';
import {
  policyActivate,
  policyDiff,
  policyList,
  policyPush,
  policyRollback,
  policyTest,
  type Said,
} from './commands.ts';
import { explainDecision } from './explain.ts';
import { policyReplay } from './replay.ts';
import { shadowResults, shadowStart, shadowStop } from './shadow.ts';
import { canDo, whoCan } from './who-can.ts';

type Common = { json?: boolean; as?: string };

/** `remit policy …` and `remit explain`, for a deployment by environment or the development stack. */
export function addPolicyVerbs(
  program: Command,
  { dev, print }: { dev: () => DevFile; print: (text: string) => void },
): void {
  const open = (name: 'audit' | 'pdp', role: 'admin' | 'auditor', { as }: Common) =>
    openService(name, { role, as, dev });
  const say = ({ data, text }: Said, { json }: Common) =>
    print(json ? JSON.stringify(data, null, 2) : text);
  const verb = (on: Command, name: string, description: string) =>
    on
      .command(name)
      .description(description)
      .option('--json', 'for programs')
      .option('--as <user>', 'who asks, in the development stack');

  const policy = program.command('policy').description('work with the guardrails of a tenant');
  verb(policy, 'test <folder>', 'check a set and run its tests; makes no version').action(
    async (folder: string, options: Common) =>
      say(await policyTest(await open('pdp', 'admin', options), folder), options),
  );
  verb(policy, 'push <folder>', 'check, test and upload a set as an immutable version')
    .requiredOption('-m, --message <text>', 'what it changes and why')
    .action(async (folder: string, options: Common & { message: string }) =>
      say(await policyPush(await open('pdp', 'admin', options), folder, options.message), options),
    );
  verb(policy, 'list', 'the versions, and which of them decides').action(async (options: Common) =>
    say(await policyList(await open('pdp', 'admin', options)), options),
  );
  verb(
    policy,
    'diff <version> [other]',
    'compare guardrails; default: with the active version',
  ).action(async (version: string, other: string | undefined, options: Common) =>
    say(await policyDiff(await open('pdp', 'admin', options), version, other), options),
  );
  verb(
    policy,
    'shadow [version]',
    'decide a version beside the active one; alone: what it would change',
  )
    .option('--off', 'end it')
    .action(async (version: string | undefined, options: Common & { off?: boolean }) => {
      const pdp = await open('pdp', 'admin', options);
      if (options.off) return say(await shadowStop(pdp), options);
      if (version === undefined) return say(await shadowResults(pdp), options);
      return say(await shadowStart(pdp, version), options);
    });
  verb(policy, 'replay <version>', 'what a version would have decided of what is recorded')
    .option('--since <time>', 'how far back', '7d')
    .option('--limit <number>', 'at most this many decisions, the newest', '10000')
    .option('--against <version>', 'compare with this version; default: the active one')
    .action(
      async (
        version: string,
        options: Common & { since: string; limit: string; against?: string },
      ) => {
        const { since, against } = options;
        const services = {
          pdp: await open('pdp', 'admin', options),
          audit: await open('audit', 'auditor', {}),
        };
        const more = against === undefined ? {} : { against };
        const limit = Number(options.limit);
        say(await policyReplay(services, version, { since, limit, ...more }), options);
      },
    );
  verb(policy, 'activate <version>', 'a version decides from now on, in every replica').action(
    async (version: string, options: Common) =>
      say(await policyActivate(await open('pdp', 'admin', options), version), options),
  );
  verb(policy, 'rollback', 'what was active before decides again').action(async (options: Common) =>
    say(await policyRollback(await open('pdp', 'admin', options)), options),
  );
  verb(
    program,
    'explain <decision>',
    'why a decision was made, with the policies of its version',
  ).action(async (id: string, options: Common) => {
    const services = {
      pdp: await open('pdp', 'auditor', options),
      audit: await open('audit', 'auditor', options),
    };
    say(await explainDecision(services, id), options);
  });
  verb(program, 'who-can <action> <resource>', 'users, agents with their tasks, and guardrails')
    .option('--agent <id>', 'look at this agent; more than once', collect, [])
    .action(async (action: string, resource: string, options: Common & { agent: string[] }) => {
      const pdp = await open('pdp', 'auditor', options);
      const inDev = process.env['REMIT_PDP_URL'] ? [] : dev().clients.map(({ id }) => id);
      const agents = options.agent.length > 0 ? options.agent : inDev;
      say(await whoCan(pdp, { action, resource, agents }), options);
    });
  verb(
    program,
    'can <agent> <user>',
    'what an agent can do for a user, in three dimensions',
  ).action(async (agent: string, user: string, options: Common) =>
    say(await canDo(await open('pdp', 'auditor', options), agent, user), options),
  );
  program
    .command('doctor')
    .description('look at a deployment from outside: what is wrong, and what to do')
    .option('--json', 'for programs')
    .action(async (options: Common) => {
      const said = await doctor(deploymentOf(dev));
      say(said, options);
      if (!said.ok) process.exitCode = 1;
    });
}

const collect = (value: string, before: string[]) => [...before, value];
