import { ConfigError, NativeLoadError } from '../../errors.js';
import { deviceMemory, type DeviceMemory } from './device-memory.js';

/** Why the memory of a device is not known. */
export interface UnknownMemory {
  unknown: string;
}

/** The memory of a device, or why it is not known: it can be planned for all the same. */
export async function memoryIfThere(device: string): Promise<DeviceMemory | UnknownMemory> {
  return deviceMemory(device).catch((error: unknown) => {
    if (error instanceof ConfigError) return { unknown: 'it is not in this machine' };
    if (error instanceof NativeLoadError) return { unknown: 'without LibTorch it cannot be asked' };
    throw error;
  });
}

/** What a GPU has free, if there is one. */
export async function freeMemory(device: string): Promise<number | undefined> {
  if (device === 'cpu') return undefined;
  const found = await memoryIfThere(device);
  return 'unknown' in found ? undefined : found.free;
}
