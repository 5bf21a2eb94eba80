import { migrateService } from '@remit/service-kit';
import { migrations } from './store/migrations.ts';

await migrateService({ schema: 'pdp', migrations });
