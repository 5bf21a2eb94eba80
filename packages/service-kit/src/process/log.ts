import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';

/** The logger that everything gets. One JSON object per line, on stdout. */
export type Logger = PinoLogger;

export type LogOptions = {
  service: string;
  instance: string;
  level: string;
  /** Where lines go; stdout by default. */
  destination?: DestinationStream;
};

/** Members that are never printed, wherever they stand on the first two levels. */
const SECRET_MEMBERS = [
  'access_token',
  'actor_token',
  'assertion',
  'authorization',
  'client_assertion',
  'cookie',
  'd',
  'databaseUrl',
  'dpop',
  'id_token',
  'natsSeed',
  'password',
  'priv',
  'proof',
  'seed',
  'subject_token',
  'token',
];

/**
 * Last line of defence for what slipped into a message: compact JWS and JWE, seeds of nkeys,
 * passwords in URLs, `Bearer` and `DPoP` credentials.
 */
const SECRET_TEXT: readonly (readonly [RegExp, string])[] = [
  [/eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){2,4}/g, '[token]'],
  [/\bS[ACNOUX][A-Z2-7]{56}\b/g, '[seed]'],
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:@/"]+):[^\s@/"]+@/g, '$1:[redacted]@'],
  [/\b(Bearer|DPoP) [A-Za-z0-9._~+/=-]{8,}/g, '$1 [redacted]'],
];

/** Makes the logger of a service: RFC 3339 times, level names, secrets redacted by name and by shape. */
export function createLogger(options: LogOptions): Logger {
  const { service, instance, level, destination } = options;
  return pino(
    {
      level,
      base: { service, instance },
      messageKey: 'msg',
      errorKey: 'err',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: errorFields },
      redact: {
        paths: SECRET_MEMBERS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        censor: '[redacted]',
      },
      hooks: { streamWrite: scrub },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
}

/** Replaces everything that looks like a credential. */
export function scrub(line: string): string {
  let out = line;
  for (const [pattern, replacement] of SECRET_TEXT) out = out.replace(pattern, replacement);
  return out;
}

type ErrorFields = {
  type: string;
  message: string;
  code?: string;
  details?: unknown;
  stack?: string;
  cause?: ErrorFields;
};

/** An error as data; causes to a depth of four. */
function errorFields(error: unknown, depth = 0): ErrorFields {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const { code, details } = error as { code?: unknown; details?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' ? { code } : {}),
    ...(details === undefined ? {} : { details }),
    ...(depth === 0 && error.stack ? { stack: error.stack } : {}),
    ...(error.cause === undefined || depth > 3
      ? {}
      : { cause: errorFields(error.cause, depth + 1) }),
  };
}
