export { readDevFile } from './dev/dev-file.ts';
export { audienceOf, signInAs } from './dev/people.ts';
export { type SignedIn, type SignInOptions, signIn } from './dev/sign-in.ts';
export { agentOf, startTask } from './dev/tasks.ts';
export { CliError, type CliErrorCode } from './error.ts';
export { recordLine, userOf } from './tail/line.ts';
export { permissionInWords } from './words.ts';
