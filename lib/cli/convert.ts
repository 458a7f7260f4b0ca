import { convert } from '../jobs/convert.js';

export async function runConvert(
  file: string,
  out: string,
  flags: { force?: boolean; quiet?: boolean },
): Promise<void> {
  const { tensors, parameters } = await convert(file, out, { force: flags.force ?? false });
  if (!flags.quiet) process.stderr.write(`${out}: ${tensors} tensors, ${parameters} numbers\n`);
}
