import { runService } from '@remit/service-kit';
import { build, NAME, VERSION } from './app.ts';
import { revocationConfig } from './config.ts';

await runService({ name: NAME, version: VERSION, config: revocationConfig, build });
