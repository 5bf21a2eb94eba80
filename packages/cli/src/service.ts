import { readFileSync } from 'node:fs';
import type { DevFile } from '@remit/contracts';
import { audienceOf, signInAs } from './dev/people.ts';
import { CliError } from './error.ts';

/** Where a service is for one tenant, and who asks it. */
export type Service = {
  name: 'audit' | 'pdp';
  /** With the tenant: `https://pdp.example/t/acme`. */
  url: string;
  /** An access token of a person, for `url`. */
  token: string;
};

/** Who asks in the development stack unless told otherwise: its administrator and its auditor. */
const DEV_PEOPLE = { admin: 'dora', auditor: 'erin' } as const;

/**
 * A service by `REMIT_PDP_URL` and `REMIT_PDP_TOKEN` or `REMIT_PDP_TOKEN_FILE` (the same with `AUDIT`),
 * otherwise that of the running development stack, as one of its people. Throws CliError `USAGE` for
 * half of a setting, and what the development stack's helpers throw.
 */
export async function openService(
  name: Service['name'],
  who: { role: keyof typeof DEV_PEOPLE; as?: string | undefined; dev: () => DevFile },
): Promise<Service> {
  const prefix = `REMIT_${name.toUpperCase()}`;
  const url = process.env[`${prefix}_URL`];
  if (url !== undefined && url !== '')
    return { name, url: url.replace(/\/$/, ''), token: given(prefix) };
  const dev = who.dev();
  const audience = audienceOf(dev, name);
  const { accessToken } = await signInAs(dev, who.as ?? DEV_PEOPLE[who.role], audience);
  return { name, url: audience, token: accessToken };
}

function given(prefix: string): string {
  const token = process.env[`${prefix}_TOKEN`];
  if (token) return token.trim();
  const file = process.env[`${prefix}_TOKEN_FILE`];
  if (!file)
    throw new CliError(
      'USAGE',
      `${prefix}_URL is set, but neither ${prefix}_TOKEN nor ${prefix}_TOKEN_FILE. Set one to an access token that your identity provider issued for that URL.`,
    );
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new CliError('USAGE', `${prefix}_TOKEN_FILE names ${file}, which cannot be read.`, {
      cause,
    });
  }
}

type Problem = { file: string; line: number; column: number; message: string };
type Refused = { code?: string; title?: string; detail?: string; problems?: Problem[] };

const TIMEOUT_MS = 30_000;

/** What to do about a refusal; the service says what and why. */
const ADVICE: Readonly<Record<string, string>> = {
  UNAUTHENTICATED:
    'Get a new access token for this URL: it may have expired, or be for another one.',
  FORBIDDEN: 'Ask somebody who has the role remit-admin (for questions, remit-auditor does).',
  CONFLICT: 'Look with "remit policy list" what is active now.',
  UNAVAILABLE: 'Run "remit doctor" to see which part does not answer.',
  OVERLOADED: 'Wait a moment and try again.',
  TENANT_UNKNOWN: 'Is the tenant in the URL right?',
};

/**
 * One request to a service. Throws CliError `UNREACHABLE`, `NOT_FOUND`, `REFUSED`; the message says what
 * happened, why, and what to do.
 */
export async function ask<T>(
  service: Service,
  method: 'DELETE' | 'GET' | 'POST',
  path: string,
  body?: object,
): Promise<T> {
  const { name, url, token } = service;
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    redirect: 'error',
    ...(body ? { body: JSON.stringify(body) } : {}),
  }).catch((cause: unknown) => {
    throw new CliError(
      'UNREACHABLE',
      `The ${name} at ${url} does not answer. Is it running, and is the URL right?`,
      { cause },
    );
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer as T;
  throw refusal(name, response.status, answer ?? {});
}

function refusal(name: string, status: number, refused: Refused): CliError {
  const { code = '', title, detail, problems = [] } = refused;
  const where = problems.map(
    ({ file, line, column, message }) => `  ${file}:${line}:${column} ${message}`,
  );
  const said = detail ?? title ?? 'It gave no reason.';
  const advice = Object.hasOwn(ADVICE, code) ? ` ${ADVICE[code]}` : '';
  return new CliError(
    code === 'NOT_FOUND' ? 'NOT_FOUND' : 'REFUSED',
    [`The ${name} refused (${status}${code ? ` ${code}` : ''}): ${said}${advice}`, ...where].join(
      '\n',
    ),
  );
}
