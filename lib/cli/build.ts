import { buildNative, type BuildOptions } from '../jobs/build/native-build.js';

export interface BuildFlags extends Pick<BuildOptions, 'variant' | 'jobs' | 'libtorch' | 'cudaArchitectures'> {
  quiet?: boolean;
}

export async function runBuild({ quiet, ...options }: BuildFlags): Promise<void> {
  const report = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
  const { directory, built, seconds } = await buildNative({ ...options, report });
  report(built ? `built ${directory} in ${seconds.toFixed(1)} s` : `${directory} is up to date`);
}
