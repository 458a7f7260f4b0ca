// What 'auto' means: with facts given, and on this machine.
import { afterEach, describe, expect, it, vi } from 'vitest';

import { chooseDevice, deviceLine, type DeviceFacts } from '../../lib/runtime/device.js';
import { compiled, runNode } from '../helpers/child.js';

const machine = (facts: Partial<DeviceFacts>): DeviceFacts => ({
  hasDriver: () => true,
  hasCudaAddon: () => true,
  loaded: () => ({ variant: 'cuda', devices: 1 }),
  ...facts,
});
const notAsked = () => {
  throw new Error('asked');
};

afterEach(() => vi.unstubAllEnvs());

describe('the device auto', () => {
  it('is CUDA where the loaded addon has a device', () => {
    expect(chooseDevice('auto', machine({}))).toEqual({ device: 'cuda', reason: 'there is one' });
    const two = machine({ loaded: () => ({ variant: 'cuda', devices: 2 }) });
    expect(deviceLine(chooseDevice('auto', two))).toBe('device: cuda (auto: the first of 2)');
  });

  it('is the CPU where the loaded addon has no device, or none of its own', () => {
    const none = machine({ loaded: () => ({ variant: 'cuda', devices: 0 }) });
    expect(chooseDevice('auto', none)).toEqual({ device: 'cpu', reason: 'CUDA finds no device' });
    const cpu = machine({ loaded: () => ({ variant: 'cpu', devices: 0 }) });
    expect(chooseDevice('auto', cpu)).toMatchObject({ device: 'cpu', reason: expect.stringContaining('eam doctor') });
  });

  it('loads nothing where there can be no CUDA device', () => {
    const bare = machine({ hasDriver: () => false, hasCudaAddon: notAsked, loaded: notAsked });
    expect(deviceLine(chooseDevice('auto', bare))).toBe('device: cpu (auto: there is no NVIDIA driver here)');
    const unbuilt = machine({ hasCudaAddon: () => false, loaded: notAsked });
    expect(chooseDevice('auto', unbuilt)).toMatchObject({
      device: 'cpu',
      reason: expect.stringContaining('npx eam build --variant cuda'),
    });
  });
});

it.each(['cpu', 'cuda', 'cuda:1'])('the device %s is itself, whatever is there', (device) => {
  const asked = machine({ hasDriver: notAsked, hasCudaAddon: notAsked, loaded: notAsked });
  expect(chooseDevice(device, asked)).toEqual({ device });
});

it('a plan is made for the CPU, without a native core, where none can be loaded', async () => {
  const script = `
    import { plan } from ${compiled('jobs/plan/plan.js')};
    const { readFileSync } = await import('node:fs');
    const planned = await plan(JSON.parse(readFileSync('configs/quickstart.json', 'utf8')));
    const opened = process.report.getReport().sharedObjects.filter((path) => path.includes('libtorch'));
    console.log(planned.device, opened.length);`;
  const env = { ...process.env, EAM_TORCH_BUILD_DIR: '/nowhere', EAM_TORCH_LIBTORCH: '/nowhere' };
  expect((await runNode(script, { env })).stdout).toBe('cpu 0\n');
});
