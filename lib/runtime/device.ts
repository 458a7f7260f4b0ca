// Says which device 'auto' means.

import { existsSync } from 'node:fs';

import { findAddons } from './native/addons.js';
import { binding } from './native/index.js';

/** A device, and how 'auto' came to it. */
export interface ChosenDevice {
  /** `'cpu'`, `'cuda'` or `'cuda:N'`. */
  device: string;
  /** Why 'auto' means it; undefined where the device was named. */
  reason?: string;
}

/** What NVIDIA's driver makes on Linux, on WSL 2 and on Jetsons; CUDA finds no device without one. */
const driverFiles = ['/dev/nvidiactl', '/dev/dxg', '/dev/nvmap'];

/** What is asked of the machine; the addon last, since that loads it. */
export interface DeviceFacts {
  /** Whether there can be a CUDA device at all. */
  hasDriver: () => boolean;
  /** Whether there is an addon of the cuda variant. */
  hasCudaAddon: () => boolean;
  /** The variant that is loaded, and how many CUDA devices it sees. */
  loaded: () => { variant: string; devices: number };
}

const ofThisMachine: DeviceFacts = {
  hasDriver: () => driverFiles.some((file) => existsSync(file)),
  hasCudaAddon: () => findAddons().some((addon) => !('rejected' in addon) && addon.variant === 'cuda'),
  loaded: () => ({ variant: binding().variant, devices: binding().cudaDeviceCount() }),
};

/**
 * For `'auto'` the first CUDA device where the addon that is loaded has one, else the CPU; any other device is what it
 * is, and nothing stands in for it. The native core is loaded only where there may be a CUDA device.
 * @throws NativeLoadError where it has to be loaded and cannot be
 */
export function chooseDevice(wanted: string, facts: DeviceFacts = ofThisMachine): ChosenDevice {
  if (wanted !== 'auto') return { device: wanted };
  if (!facts.hasDriver()) return { device: 'cpu', reason: 'there is no NVIDIA driver here' };
  const build = '`npx eam build --variant cuda` builds the one for a GPU';
  if (!facts.hasCudaAddon()) return { device: 'cpu', reason: `there is no CUDA addon here; ${build}` };
  const { variant, devices } = facts.loaded();
  if (variant !== 'cuda')
    return { device: 'cpu', reason: 'the CUDA addon could not be loaded; `npx eam doctor` says why' };
  if (devices === 0) return { device: 'cpu', reason: 'CUDA finds no device' };
  return { device: 'cuda', reason: devices === 1 ? 'there is one' : `the first of ${devices}` };
}

/** Such as `device: cpu (auto: there is no NVIDIA driver here)`. */
export const deviceLine = ({ device, reason }: ChosenDevice): string => `device: ${device} (auto: ${reason})`;
