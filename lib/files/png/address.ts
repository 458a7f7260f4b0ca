/** The address that holds a PNG itself, for pages and services that take an address. */
export const pngAddress = (png: Uint8Array): string => `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
