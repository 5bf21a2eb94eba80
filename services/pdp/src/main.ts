import { runService } from '@remit/service-kit';
import { build, VERSION } from './app.ts';
import { pdpConfig } from './config.ts';

await runService({ name: 'pdp', version: VERSION, config: pdpConfig, build });
