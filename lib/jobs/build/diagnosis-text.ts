import { deviceLine } from '../../runtime/device.js';
import { describeCandidate } from '../../runtime/native/libtorch.js';
import type { Diagnosis } from './diagnosis.js';

/** The diagnosis as a person reads it. */
export function diagnosisText(diagnosis: Diagnosis): string {
  const { cpu, native, addon } = diagnosis;
  const row = (name: string, value: string) => `${name.padEnd(13)}${value}`;
  const lines = [
    row('eam-torch', diagnosis.package),
    row('Node', `${diagnosis.node} (npm ${diagnosis.npm})`),
    row('system', `${diagnosis.os}${diagnosis.glibc ? `, glibc ${diagnosis.glibc}` : ''}`),
    row('processor', `${cpu.model}, ${cpu.architecture}, ${cpu.threads} threads, ${diagnosis.memoryGiB} GiB`),
    row('SIMD', cpu.simd.join(' ') || 'unknown'),
    row('GPU', diagnosis.gpus.join('; ') || 'none that nvidia-smi knows'),
    '',
    'Tools',
    ...diagnosis.tools.map((tool) => `  - ${tool.name}: ${tool.problem ?? `${tool.version} (${tool.path})`}`),
    '',
    'Environment',
    ...(Object.keys(diagnosis.environment).length > 0
      ? Object.entries(diagnosis.environment).map(([name, value]) => `  - ${name}=${value}`)
      : ['  - none that matter']),
    '',
    'LibTorch, in the order of preference',
    ...native.candidates.map((candidate) => {
      const used = candidate.directory !== undefined && candidate.directory === native.loaded?.libtorch.directory;
      return `${describeCandidate(candidate)}${used ? ': in use' : ''}`;
    }),
    '',
    'Addon',
    ...native.addons.map((found) => {
      if ('rejected' in found) return `  - ${found.directory}: ${found.rejected}`;
      const origin = found.prebuilt ? `, prebuilt from ${found.prebuilt.revision.slice(0, 12)}` : '';
      return `  - ${found.directory} (${found.variant}, LibTorch ${found.libtorch}${origin})`;
    }),
    '',
  ];
  if (addon) {
    lines.push(
      `Loaded the ${addon.variant} addon with LibTorch ${addon.libtorch}: ${addon.threads} threads, ` +
        `${addon.cudaDevices} CUDA devices.`,
      deviceLine(addon.auto),
    );
  }
  lines.push(...diagnosis.advice.flatMap((text) => ['', text]));
  return lines.join('\n');
}
