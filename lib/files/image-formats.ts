/** Extensions of image files that are neither read nor written here. */
export const otherImages: ReadonlySet<string> = new Set(
  'jpg jpeg jpe jfif webp gif bmp tif tiff avif heic heif jxl jp2 svg ppm tga ico exr pdf'
    .split(' ')
    .map((each) => `.${each}`),
);
