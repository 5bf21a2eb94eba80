import { runService } from '@remit/service-kit';
import { build, VERSION } from './app.ts';
import { config } from './config.ts';

await runService({ name: 'issuer', version: VERSION, config, build });
