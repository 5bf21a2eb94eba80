import { baseConfig, configSchema, describeConfig } from '@remit/service-kit';
import { auditConfig } from '../../services/audit/src/config.ts';
import { config as issuerConfig } from '../../services/issuer/src/config.ts';
import { pdpConfig } from '../../services/pdp/src/config.ts';
import { registryConfig } from '../../services/registry/src/config.ts';
import { revocationConfig } from '../../services/revocation/src/config.ts';

/** The settings of each service, from the schema that it reads its environment with. */
export const SETTINGS = {
  issuer: describeConfig(issuerConfig),
  pdp: describeConfig(pdpConfig),
  revocation: describeConfig(revocationConfig),
  audit: describeConfig(auditConfig),
  registry: describeConfig(registryConfig),
};
const everywhere = describeConfig(configSchema(baseConfig));

const BEGIN =
  '<!-- Written by `node test/conformance/write-docs.ts`; a test compares it with the code. -->';
const END = '<!-- End of what is written. -->';

/** `docs/deploy.md` with its settings as the code has them; the rest as it is. */
export function renderDeploy(page: string): string {
  const [before = '', rest = ''] = page.split(BEGIN);
  const [, after] = rest.split(END);
  if (after === undefined) throw new Error('docs/deploy.md has no place for the settings');
  return `${before}${BEGIN}\n\n${renderSettings()}\n\n${END}${after}`;
}

function renderSettings(): string {
  const own = Object.entries(SETTINGS).map(([service, entries]) => {
    const rows = entries.filter(({ name }) => !everywhere.some((each) => each.name === name));
    return `### ${service}\n\n${table(rows)}`;
  });
  return [`### Every service\n\n${table(everywhere)}`, ...own].join('\n\n');
}

function table(entries: ReturnType<typeof describeConfig>): string {
  const rows = entries.map(
    ({ name, required, secret, expects, default: fallback, description }) => {
      const names = secret ? `\`${name}\` or \`${name}_FILE\`` : `\`${name}\``;
      const value = expects.startsWith('text like ')
        ? `text like \`${expects.slice('text like '.length).replaceAll('|', '\\|')}\``
        : expects;
      const otherwise = required ? 'required' : fallback === undefined ? '' : `\`${fallback}\``;
      return `| ${names} | ${value} | ${otherwise} | ${description} |`;
    },
  );
  return ['| setting | value | default | |', '|---|---|---|---|', ...rows].join('\n');
}
