import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderAttacks } from './attacks-doc.ts';
import { renderErrorCodes } from './error-codes.ts';
import { renderDeploy } from './settings-doc.ts';
import { renderSubjects } from './subjects-doc.ts';

/** Rewrites the documents that are generated from the code. */
const root = join(import.meta.dirname, '../..');
writeFileSync(join(root, 'docs/error-codes.md'), renderErrorCodes(root));
writeFileSync(join(root, 'docs/subjects.md'), renderSubjects());
writeFileSync(join(root, 'docs/attacks.md'), renderAttacks(root));
const deploy = join(root, 'docs/deploy.md');
writeFileSync(deploy, renderDeploy(readFileSync(deploy, 'utf8')));
