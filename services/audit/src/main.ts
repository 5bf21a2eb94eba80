import { runService } from '@remit/service-kit';
import { build, VERSION } from './app.ts';
import { auditConfig } from './config.ts';

await runService({ name: 'audit', version: VERSION, config: auditConfig, build });
