import { describe, expect, it } from 'vitest';
import { PdpError } from '../errors.ts';
import { erp } from '../test/fixtures.ts';
import { type PolicyProblem, readGuardrails } from './guardrails.ts';
import { cedarSchema } from './schema.ts';

const schema = cedarSchema([erp]);

function problems(files: Record<string, string>): PolicyProblem[] {
  try {
    readGuardrails('v', files, schema);
  } catch (error) {
    if (!(error instanceof PdpError)) throw error;
    expect(error.code).toBe('POLICY_INVALID');
    expect(error.message).toBe('the policy set is not acceptable');
    return error.details.problems as PolicyProblem[];
  }
  return [];
}

describe('an uploaded set', () => {
  it('is read in the order of its files, with head and text of each policy', () => {
    const set = readGuardrails(
      'v',
      {
        'b.cedar': '@id("two") forbid (principal, action, resource);',
        'a.cedar': `// why
@id("one")
forbid (principal == Agent::"x", action in [Action::"orders.**"], resource in Resource::"erp");`,
      },
      schema,
    );
    expect(set.guardrails.map(({ id, file }) => [id, file])).toEqual([
      ['one', 'a.cedar'],
      ['two', 'b.cedar'],
    ]);
    expect(set.guardrails[0]?.head).toEqual({
      principal: { op: 'eq', id: 'x' },
      action: { op: 'in', ids: ['orders.**'] },
      resource: { op: 'in', ids: ['erp'] },
    });
  });

  it('is refused at the line and column where it breaks, counted in characters', () => {
    expect(
      problems({ 'a.cedar': '// größer\n@id("a") forbid (principal, action resource);' }),
    ).toEqual([
      {
        file: 'a.cedar',
        line: 2,
        column: 36,
        message: expect.stringContaining('unexpected token'),
      },
    ]);
    expect(
      problems({
        'a.cedar': `// größer als ü
@id("a") forbid (principal, action == Action::"orders.create", resource)
when { context.args.amout == 1 };`,
      }),
    ).toEqual([
      {
        file: 'a.cedar',
        line: 3,
        column: 8,
        message: expect.stringMatching(
          /attribute `args.amout` .* not found \(did you mean `amount`\?\)/,
        ),
      },
    ]);
  });

  it('may not read what may be missing without asking for it', () => {
    const policy = (condition: string) =>
      problems({
        'a.cedar': `@id("a") forbid (principal, action == Action::"orders.create", resource) when { ${condition} };`,
      });
    for (const condition of [
      'context.args.amount.greaterThan(decimal("1.0"))',
      'context.user.getTag("department") == "x"',
      'resource.segments.s1 == "orders"',
      'context.args has amount && context.args.amount > 1',
      'context.nothing',
      'principal.secret == 1',
    ])
      expect(policy(condition), condition).not.toEqual([]);
    expect(
      policy('context.args has amount && context.args.amount.greaterThan(decimal("1.0"))'),
    ).toEqual([]);
    expect(policy('context.args has ship.to && context.args.ship.to like "DE*"')).toEqual([]);
  });

  it('may not name an action, an entity type or an agent side that does not exist', () => {
    for (const head of [
      'principal, action == Action::"orders.crate", resource',
      'principal in Robot::"x", action, resource',
      'principal is User, action, resource',
    ])
      expect(problems({ 'a.cedar': `@id("a") forbid (${head});` }), head).not.toEqual([]);
  });

  // A permit would allow what a dimension refuses: take the check away and this goes red.
  it('takes only forbid, only static policies, each with an id of its own', () => {
    const cases: [string, string][] = [
      [
        '@id("a") permit (principal, action, resource);',
        'only forbid is taken: a guardrail takes away',
      ],
      [
        '@id("a") forbid (principal == ?principal, action, resource);',
        'templates are not taken, only policies',
      ],
      [
        'forbid (principal, action, resource);',
        'each policy needs an @id of small letters, digits, dots, - and _',
      ],
      [
        '@id("remit:dimensions") forbid (principal, action, resource);',
        'each policy needs an @id of small letters, digits, dots, - and _',
      ],
      ['', 'the file is empty or not text'],
      ['// nothing', 'the file holds no policies'],
    ];
    for (const [text, message] of cases)
      expect(problems({ 'a.cedar': text }), text).toContainEqual(
        expect.objectContaining({ file: 'a.cedar', message }),
      );
    const same = '@id("a") forbid (principal, action, resource);';
    expect(problems({ 'a.cedar': same, 'b.cedar': same })).toEqual([
      { file: 'b.cedar', line: 1, column: 1, message: 'the id a is used twice, first in a.cedar' },
    ]);
  });

  it('does not let one argument have two types', () => {
    const other = {
      ...erp,
      id: 'crm',
      args: { 'orders.create': { amount: 'string' as const, 'amount.x': 'long' as const } },
    };
    expect(() =>
      readGuardrails(
        'v',
        {
          'a.cedar':
            '@id("a") forbid (principal, action == Action::"orders.create", resource) when { context.args has amount };',
        },
        cedarSchema([erp, other]),
      ),
    ).not.toThrow();
    expect(() =>
      readGuardrails(
        'v',
        {
          'a.cedar':
            '@id("a") forbid (principal, action == Action::"orders.create", resource) when { context.args has amount && context.args.amount == "1" };',
        },
        cedarSchema([erp, other]),
      ),
    ).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });
});
