import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REASONS, WIRE_ERRORS, type WireErrorCode } from '@remit/contracts';
import { WIRE_MAPPINGS } from '@remit/service-kit';
import { answerOf } from '../../packages/pep/src/refusal.ts';

/** The closed unions of local error codes, read from the sources that declare them. */
export function localCodes(root: string): { package: string; codes: string[] }[] {
  return globSync('{packages,services}/*/src/**/error{,s}.ts', { cwd: root })
    .toSorted()
    .flatMap((file) => {
      const source = readFileSync(join(root, file), 'utf8').replace(
        /\/\*[\s\S]*?\*\/|\/\/.*$/gm,
        '',
      );
      return [...source.matchAll(/export type \w+ErrorCode =([^;]+);/g)].flatMap(
        ([, union = '']) => {
          const codes = [...union.matchAll(/'([A-Z0-9_]+)'/g)].map((code) => code[1] as string);
          const [top, name] = file.split('/');
          return codes.length === 0
            ? []
            : [
                {
                  package: top === 'packages' ? `@remit/${name}` : `${name} service`,
                  codes: codes.toSorted(),
                },
              ];
        },
      );
    });
}

/** `docs/error-codes.md`, whole. */
export function renderErrorCodes(root: string): string {
  const reasons = Object.entries(REASONS).map(([code, sentence]) => {
    const { status, oauthError } = answerOf(code as keyof typeof REASONS);
    const answer = code === 'permitted' ? '' : `${status}${oauthError ? ` \`${oauthError}\`` : ''}`;
    return `| <a id="${code}"></a>\`${code}\` | ${sentence} | ${answer} |`;
  });
  const wire = Object.entries(WIRE_ERRORS).map(([code, sentence]) => {
    const { status, oauth } = WIRE_MAPPINGS[code as WireErrorCode];
    return `| \`${code}\` | ${sentence} | ${status} | \`${oauth}\` |`;
  });
  const local = localCodes(root).map(
    ({ package: name, codes }) => `| ${name} | ${codes.map((code) => `\`${code}\``).join(', ')} |`,
  );
  return `# Error codes

Written by \`node test/conformance/write-docs.ts\`; a test compares it with the code.

## Reasons

Why something was allowed or refused. A record carries one in \`reason\`; a PEP's refusal carries it in \`code\`, with the HTTP status and OAuth error of the last column.

| reason | what it means | answer of a PEP |
|---|---|---|
${reasons.join('\n')}

## Errors of the services

What a service answers over HTTP (\`code\` of a problem, RFC 9457), to OAuth clients (\`error\`), and over the bus (the code itself).

| code | what it means | HTTP | OAuth |
|---|---|---|---|
${wire.join('\n')}

## Errors of the packages

Codes of errors that are thrown and never sent. The class says where from, \`code\` what, and its data the rest.

| package | codes |
|---|---|
${local.join('\n')}
`;
}
