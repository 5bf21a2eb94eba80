import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Agent, type Capability, createWorker, type Handover } from '@remit/agent';
import { importSigner, type Signer } from '@remit/capability/token';
import { agentOf } from '@remit/cli';
import { repositoryRoot } from '@remit/stack';
import { loadTenants } from '../../demo/stack.ts';
import { claimsOf, freshJwk, type Refusal, type Stage } from './stage.ts';

export const READ = { actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] };
export const RISK = { ...READ, actions: ['suppliers.risk.read'] };
export const BOTH = { ...READ, actions: ['suppliers.read', 'suppliers.risk.read'] };

type LinkChange = { claims?: object; header?: object; signer?: Signer };

/** Who hands on what, offline, at a running deployment; and what an attacker with keys can write. */
export type ChainClient = {
  /** A token of procurement-agent, for bob, whose parts may be handed on, to risk-analyst by name. */
  readonly held: Capability;
  /** Another one. */
  start(): Promise<Capability>;
  readonly analyst: Agent;
  readonly analystKey: Signer;
  readonly worker: ReturnType<typeof createWorker>;
  readonly workerKey: Signer;
  toWorker(from?: Capability): Handover;
  toAnalyst(from?: Capability): Handover;
  /** A link as its signer likes it, behind a text. By itself good: to the worker, who may read. */
  link(text: string, change?: LinkChange): string;
  /** Presents a chain at the tool and sees it refused. */
  refused(chain: string, reason: string, signer?: Signer, by?: Refusal['by']): Promise<string>;
  /** Asks the tool for the risk of the supplier. */
  risk(given: Handover, by: { receive(given: Handover): Capability }): Promise<Response>;
};

export async function chainClient(stage: Stage): Promise<ChainClient> {
  const [analystJwk, workerJwk] = [freshJwk(), freshJwk()];
  const [analystKey, workerKey] = [importSigner(analystJwk), importSigner(workerJwk)];
  const worker = createWorker({ proofKey: workerJwk });
  const folder = mkdtempSync(join(tmpdir(), 'remit-links-'));
  try {
    await loadTenants(stage.demo.stack, withSharedTask(folder, analystKey));
  } finally {
    rmSync(folder, { recursive: true });
  }
  const start = async () =>
    stage.agent.startTask({
      idToken: await stage.world.signIn('bob'),
      taskType: 'share-supplier-risk',
      slots: { supplier: 'S-100' },
      resource: stage.world.erp.url,
    });
  const held = await start();
  return {
    held,
    start,
    analyst: agentOf(stage.demo.dev, 'risk-analyst', analystJwk),
    analystKey,
    worker,
    workerKey,
    toWorker: (from = held) => stage.agent.handOn(from, { to: worker.jkt, permissions: [BOTH] }),
    toAnalyst: (from = held) =>
      stage.agent.handOn(from, { to: analystKey.kid, permissions: [RISK] }),
    link(text, { signer = stage.proofKey, header, claims } = {}) {
      const token = claimsOf(text.split('~')[0] as string);
      const made = signer.sign(
        { typ: 'remit-link+jwt', jwk: signer.publicJwk, ...header },
        {
          prev: createHash('sha256').update(`${text}~`).digest('base64url'),
          jti: randomBytes(16).toString('base64url'),
          iat: token['iat'],
          exp: token['exp'],
          cnf: { jkt: worker.jkt },
          permissions: [READ],
          ...claims,
        },
      );
      return `${text}~${made}`;
    },
    refused: (chain, reason, signer = workerKey, by) =>
      stage.refused(
        { headers: stage.credentials(chain, { signer }) },
        { status: 401, reason, ...(by ? { by } : {}) },
      ),
    risk: (given, by) => by.receive(given).fetch(`${stage.world.erp.url}/suppliers/S-100/risk`),
  };
}

/** The demo's tenant with a task type whose tokens may be handed on, to risk-analyst by name. */
function withSharedTask(folder: string, analyst: Signer): string {
  const acme = join(folder, 'acme');
  cpSync(join(repositoryRoot, 'demo', 'tenant', 'acme'), acme, { recursive: true });
  const summary = readFileSync(join(acme, 'task-types', 'supplier-risk-summary.yaml'), 'utf8')
    .replace('supplier-risk-summary', 'share-supplier-risk')
    .replace('depth_max: 2', 'depth_max: 3\nlinks: true\nmay_act: [risk-analyst]');
  writeFileSync(join(acme, 'task-types', 'share-supplier-risk.yaml'), summary);
  const agent = join(acme, 'agents', 'procurement-agent.yaml');
  const agents = readFileSync(agent, 'utf8');
  writeFileSync(agent, agents.replace('task_types:\n', 'task_types:\n  - share-supplier-risk\n'));
  appendFileSync(
    join(acme, 'agents', 'risk-analyst.yaml'),
    `proof_keys: ${JSON.stringify([analyst.publicJwk])}\n`,
  );
  return folder;
}
