import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { devFile } from '@remit/contracts';
import { expect, it } from 'vitest';

type Schema = { type?: string; properties?: Record<string, Schema>; items?: Schema };

/** Every field of the schema as the document writes it: `users[].id`. */
function fields(schema: Schema, prefix = ''): string[] {
  if (schema.items) return fields(schema.items, `${prefix}[]`);
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    return [path, ...fields(inner, path)];
  });
}

it('docs/dev-json.md says every field of dev.json and no other', () => {
  const text = readFileSync(join(import.meta.dirname, '../docs/dev-json.md'), 'utf8');
  const documented = [...text.matchAll(/^\| `([^`]+)` \|/gm)].map((row) => row[1]);
  expect(new Set(documented)).toEqual(new Set(fields(devFile as Schema)));
});
