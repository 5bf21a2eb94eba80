import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { SABOTAGES } from './sabotages.ts';

// Loaded with `--import` before a tool: takes one protection out of the product's source while it is
// loaded, so that its checker is seen to go red. The product has no such switch.
const name = process.env['FAULTS_SABOTAGE'] ?? '';
const sabotage = SABOTAGES[name];
if (!sabotage) throw new Error(`there is no sabotage ${name}`);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.startsWith('file:') || !fileURLToPath(url).endsWith(sabotage.file)) return loaded;
    const source = Buffer.from(loaded.source as Uint8Array).toString('utf8');
    if (source.split(sabotage.find).length !== 2) {
      throw new Error(`${sabotage.file} no longer says what ${name} takes out`);
    }
    return { ...loaded, source: source.replace(sabotage.find, sabotage.put) };
  },
});
