import { runService } from '@remit/service-kit';
import { build, VERSION } from './app.ts';
import { registryConfig } from './config.ts';

await runService({ name: 'registry', version: VERSION, config: registryConfig, build });
