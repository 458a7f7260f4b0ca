import type { CheckpointError } from '../errors.js';
import { adapterNote, exportAdapter } from '../models/adapters/adapter.js';
import { diffusersNote } from '../models/adapters/diffusers.js';
import type { AdapterLayoutName } from '../models/adapters/layout.js';
import { adapterDirectory } from './sample.js';

interface ExportFlags {
  layout: AdapterLayoutName;
  quiet?: boolean;
}

export async function runExport(path: string, out: string, { layout, quiet }: ExportFlags): Promise<void> {
  const note = (message: string | undefined) => void (quiet || !message || process.stderr.write(`${message}\n`));
  const directory = await adapterDirectory(path, (error: CheckpointError) => note(`passed over: ${error.message}`));
  const adapter = await exportAdapter(directory, out, layout);
  note(adapterNote(directory, adapter));
  if (layout === 'diffusers') note(diffusersNote(out, adapter));
  note(out);
}
