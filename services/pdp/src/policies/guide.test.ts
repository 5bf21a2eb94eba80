import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGuardrails } from '../cedar/guardrails.ts';
import { cedarSchema } from '../cedar/schema.ts';
import { erp, testEngine } from '../test/fixtures.ts';
import { runPolicyTests } from './policy-tests.ts';

const guide = readFileSync(join(import.meta.dirname, '../../../../docs/policies.md'), 'utf8');

function example(language: string): string {
  const found = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(guide)?.[1];
  if (found === undefined) throw new Error(`the guide has no example in ${language}`);
  return found;
}

describe('the guide to guardrails', () => {
  it('has examples that are accepted and tests that pass', () => {
    const set = readGuardrails('guide', { 'guide.cedar': example('cedar') }, cedarSchema([erp]));
    expect(set.guardrails.map(({ id }) => id)).toEqual(['large-orders', 'only-our-models']);
    const given = { tenant: 'acme', tools: [erp] };
    expect(
      runPolicyTests(testEngine(), set, { 'tests/guide.yaml': example('yaml') }, given),
    ).toEqual({
      problems: [],
      passed: 1,
    });
  });
});
