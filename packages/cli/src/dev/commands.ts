import { randomBytes } from 'node:crypto';
import { AgentError } from '@remit/agent';
import { createProof, importSigner } from '@remit/capability/token';
import type { DevFile } from '@remit/contracts';
import { CliError } from '../error.ts';
import { deniedInWords, type Told } from './denied.ts';
import { lastToken, recall, remember } from './memory.ts';
import { audienceOf, signInAs } from './people.ts';
import { fetchRecord } from './records.ts';
import { slotsFor, startTask, taskForCall } from './tasks.ts';

/** Each verb returns exactly the text that it prints: one value, so that any client can be driven. */
export type Verb<O> = (dev: DevFile, options: O) => Promise<string>;

/** `login USER`: an ID token of the demo application, or an access token for a service. */
export const login: Verb<{ user: string; service?: string }> = async (dev, { user, service }) => {
  const resource = service === undefined ? undefined : audienceOf(dev, service);
  const signedIn = await signInAs(dev, user, resource);
  return resource === undefined ? signedIn.idToken : signedIn.accessToken;
};

/** `token USER TASK`: a capability token; its proof key is kept for `proof`. */
export const token: Verb<{ user: string; task: string; agent: string; slots: string[] }> = async (
  dev,
  { user, task, agent, slots },
) => {
  const memory = recall(dev);
  const capability = await startTask(dev, {
    user,
    agent,
    taskType: task,
    slots: slotsFor(task, slots),
    proofKey: memory.proofKey,
  });
  remember(dev, { ...memory, token: capability.token });
  return capability.token;
};

/** `proof METHOD URL`: a DPoP proof for one request with the last token, or with another. */
export const proof: Verb<{ method: string; url: string; token?: string }> = async (
  dev,
  options,
) => {
  const memory = recall(dev);
  return createProof({
    signer: importSigner(memory.proofKey),
    method: options.method.toUpperCase(),
    url: options.url,
    accessToken: options.token ?? lastToken(memory),
    nowSeconds: Date.now() / 1_000,
    jti: randomBytes(16).toString('base64url'),
  });
};

const AUDITOR = 'erin';

/** `call USER METHOD PATH [JSON]`: sign in, start the task that fits, call the ERP, print its answer. */
export const call: Verb<{
  user: string;
  method: string;
  path: string;
  json?: string;
  agent: string;
  task?: string;
  slots: string[];
  /** Where a refusal is explained; the answer itself stays what the caller got. */
  explained: (text: string) => void;
}> = async (dev, options) => {
  const body = options.json === undefined ? undefined : readBody(options.json);
  const choice = options.task
    ? { taskType: options.task, slots: slotsFor(options.task, options.slots) }
    : taskForCall(options.path, body);
  const capability = await startTask(dev, { user: options.user, agent: options.agent, ...choice });
  const response = await capability.fetch(dev.erp_audience + options.path, {
    method: options.method.toUpperCase(),
    ...(body
      ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
      : {}),
  });
  const decision = response.headers.get('remit-decision');
  const answer = await answerOf(response);
  const problem = readProblem(answer);
  if (problem && decision) options.explained(await explain(dev, { ...problem, decision }));
  return JSON.stringify({ status: response.status, decision, body: answer }, null, 2);
};

/** `record ID`: what the ledger holds for a decision, as an auditor of the demo tenant sees it. */
export const record: Verb<{ id: string; auditor: string }> = async (dev, { id, auditor }) => {
  const view = await fetchRecord(dev, id, { auditor });
  if (view) return JSON.stringify(view, null, 2);
  throw new CliError('NOT_FOUND', `The ledger has no record ${id}.`);
};

/** Says in a terminal why a call or a task was refused. What fails here hides nothing of the refusal. */
async function explain(dev: DevFile, told: Told): Promise<string> {
  const view = told.decision
    ? await fetchRecord(dev, told.decision, { auditor: AUDITOR }).catch(() => undefined)
    : undefined;
  // Calls of strangers are counted, not listed: there is no record to look for.
  const { decision: _unlisted, ...rest } = told;
  return deniedInWords(view ? told : rest, view);
}

/** The same for whatever a verb threw: undefined where it was no refusal of the issuer. */
export async function explainError(dev: DevFile, error: unknown): Promise<string | undefined> {
  if (!(error instanceof AgentError) || !error.refusal) return undefined;
  const { refusal } = error;
  return explain(dev, {
    code: refusal.reason ?? refusal.error,
    ...(refusal.description ? { sentence: refusal.description } : {}),
    ...(refusal.dimension ? { dimension: refusal.dimension } : {}),
    ...(refusal.recordId ? { decision: refusal.recordId } : {}),
  });
}

function readBody(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Said below.
  }
  throw new CliError('USAGE', `The body must be a JSON object, not ${json}`);
}

/** A refusal of a PEP: a problem (RFC 9457) with a code. */
function readProblem(answer: unknown): Told | undefined {
  if (typeof answer !== 'object' || answer === null || !('code' in answer)) return undefined;
  const { code, title, dimension } = answer as { code: string; title: string; dimension?: string };
  return { code, sentence: title, ...(dimension === undefined ? {} : { dimension }) };
}

async function answerOf(response: Response): Promise<unknown> {
  const text = await response.text();
  return response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text;
}
