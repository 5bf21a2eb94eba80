import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ALLOWED, violation } from './boundaries.ts';
import { allImports, importsIn, sourceFiles, withoutComments } from './imports.ts';

const root = join(import.meta.dirname, '../..');

describe('the architecture', () => {
  it('is kept by every import', () => {
    const imports = allImports(root);
    expect(imports.length).toBeGreaterThan(100);
    const broken = imports.flatMap((found) => {
      const sentence = violation(found);
      return sentence ? [`${found.from} → ${found.to}: ${sentence}`] : [];
    });
    expect(broken).toEqual([]);
  });

  // Shows that the test above can fail: each of these is planted, and each is found.
  it.each([
    [
      'services/pdp/src/app.ts',
      "import { build } from '@remit/issuer/app';",
      'services/pdp may not import @remit/issuer',
    ],
    [
      'services/pdp/src/app.ts',
      "import { pep } from '@remit/pep';",
      'services/pdp may not import @remit/pep',
    ],
    [
      'services/pdp/src/app.ts',
      "import { x } from '../../issuer/src/app.ts';",
      'services/pdp reaches into services/issuer by path',
    ],
    [
      'packages/capability/src/scope/meet.ts',
      "import { sha256 } from '@remit/contracts';",
      'the algebra has no dependency at all',
    ],
    [
      'packages/ledger/src/tree.ts',
      "import { readFileSync } from 'node:fs';",
      'packages/ledger is pure',
    ],
    [
      'packages/pep/src/feed.ts',
      "import { connect } from '@nats-io/transport-node';",
      'only packages/bus imports the NATS client',
    ],
    [
      'packages/bus/src/connect.ts',
      "export { record } from '@remit/recorder';",
      'packages/bus may not import @remit/recorder',
    ],
    [
      'packages/agent/src/agent.ts',
      "const bus = await import('@remit/bus');",
      'packages/agent may not import @remit/bus',
    ],
    [
      'packages/common/src/index.ts',
      "import '@remit/contracts';",
      'packages/common is no room that the table knows',
    ],
    [
      'services/issuer/src/app.ts',
      "import type { X } from '@remit/stack';",
      'services/issuer may not import @remit/stack',
    ],
  ])('finds a planted import in %s', (from, source, sentence) => {
    expect(importsIn(from, source).map(violation)).toEqual([sentence]);
  });

  it('has no package called common, shared, core or utils', () => {
    for (const name of ['common', 'shared', 'core', 'utils'])
      expect(existsSync(join(root, 'packages', name))).toBe(false);
  });

  it('knows every package and service, and their manifests declare nothing more than the table', () => {
    for (const manifest of globSync('{packages,services}/*/package.json', { cwd: root })) {
      const here = manifest.replace('/package.json', '');
      expect(ALLOWED[here], here).toBeDefined();
      const { dependencies = {} } = JSON.parse(readFileSync(join(root, manifest), 'utf8')) as {
        dependencies?: Record<string, string>;
      };
      for (const name of Object.keys(dependencies)) {
        if (name.startsWith('@remit/'))
          expect(ALLOWED[here], here).toContain(name.slice('@remit/'.length));
      }
    }
  });

  it('keeps each service’s main under 60 lines', () => {
    const mains = sourceFiles(root).filter((file) => /^services\/\w+\/src\/main\.ts$/.test(file));
    expect(mains).toHaveLength(5);
    for (const main of mains) {
      expect(readFileSync(join(root, main), 'utf8').split('\n').length, main).toBeLessThan(60);
    }
  });

  it('spells subjects in contracts alone', () => {
    const spelled = sourceFiles(root).filter(
      (file) =>
        !file.startsWith('packages/contracts/') &&
        !file.startsWith('test/') &&
        !file.endsWith('.test.ts') &&
        /['"`]remit\.(rpc|revocation|beat|registry|policy|audit|audit-mark|checkpoint)\./.test(
          withoutComments(readFileSync(join(root, file), 'utf8')),
        ),
    );
    expect(spelled).toEqual([]);
  });
});
