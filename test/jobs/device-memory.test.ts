import { describe, expect, it } from 'vitest';

import { availableOnMac, deviceMemory } from '../../lib/jobs/plan/device-memory.js';

// macOS 14 prints this on a machine of 16 GiB.
const vmStat = `Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10000.
Pages active:                            350000.
Pages inactive:                          340000.
Pages speculative:                         5000.
Pages throttled:                              0.
Pages wired down:                        120000.
Pages purgeable:                           2000.
"Translation faults":                 987654321.
`;

describe('availableOnMac', () => {
  it('adds up the pages that macOS could give out at once', () => {
    expect(availableOnMac(vmStat)).toBe(16384 * (10000 + 340000 + 5000 + 2000));
  });

  it.each([
    { what: 'nothing', text: '' },
    { what: 'no size of a page', text: vmStat.replace('16384', 'some') },
    { what: 'no inactive pages', text: vmStat.replace('inactive', 'idle') },
  ])('says nothing of a text with $what', ({ text }) => expect(availableOnMac(text)).toBeUndefined());
});

describe('deviceMemory', () => {
  it('has some memory free of what there is', async () => {
    const { free, total } = await deviceMemory('cpu');
    expect(free).toBeGreaterThan(0);
    expect(free).toBeLessThanOrEqual(total);
  });
});
