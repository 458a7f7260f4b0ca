import { mergeAdapter } from '../jobs/merge.js';
import { adapterNote } from '../models/adapters/adapter.js';
import { adapterDirectory } from './sample.js';

interface MergeFlags {
  model?: string;
  adapter: string;
  out: string;
  quiet?: boolean;
}

export async function runMerge({ model, adapter: path, out, quiet }: MergeFlags): Promise<void> {
  const note = (message: string | undefined) => void (quiet || !message || process.stderr.write(`${message}\n`));
  const directory = await adapterDirectory(path, (error) => note(`passed over: ${error.message}`));
  const { adapter, modules } = await mergeAdapter({ model, adapter: directory, out });
  note(adapterNote(directory, adapter));
  note(`${out}: ${modules.length} layers with ${adapter.alpha}/${adapter.rank} of the adapter`);
}
