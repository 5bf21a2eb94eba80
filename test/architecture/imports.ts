import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** One import of one file: `from` is the repository path, `to` a package name or a repository path. */
export type Import = { from: string; to: string; typeOnly: boolean };

const SPECIFIER =
  /(?:^|[\s;}])(import|export)(\s+type)?\s*(?:[\w*{][^'";]*?\sfrom\s*)?['"]([^'"\n]+)['"]|\bimport\(\s*['"]([^'"\n]+)['"]\s*\)/g;

/** All static and literal dynamic imports in one source text. Comments are dropped first. */
export function importsIn(from: string, source: string): Import[] {
  const code = withoutComments(source);
  return [...code.matchAll(SPECIFIER)].map(([, , typeOnly, fixed, dynamic]) => {
    const specifier = (fixed ?? dynamic) as string;
    const to = specifier.startsWith('.') ? normalize(join(dirname(from), specifier)) : specifier;
    return { from, to, typeOnly: typeOnly !== undefined };
  });
}

/** Source text without block comments and without lines that are comments. */
export function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

/** Every TypeScript source file of the repository, as paths from its root. */
export function sourceFiles(root: string): string[] {
  return globSync(['{packages,services}/*/src/**/*.ts', '{demo,infra,test}/**/*.ts'], {
    cwd: root,
    exclude: (path) => path.includes('node_modules'),
  }).toSorted();
}

/** The imports of every file. */
export function allImports(root: string): Import[] {
  return sourceFiles(root).flatMap((file) =>
    importsIn(file, readFileSync(join(root, file), 'utf8')),
  );
}

/** The room a repository path belongs to: `packages/bus`, `services/pdp`, `demo`, `infra`, `test`. */
export function room(path: string): string {
  const [top, name] = path.split('/');
  return top === 'packages' || top === 'services' ? `${top}/${name}` : (top as string);
}
