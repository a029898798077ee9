export const mebibyte = 1 << 20;

/** Rounds up to whole MiB. */
export const wholeMebibytes = (bytes: number): number => Math.ceil(bytes / mebibyte) * mebibyte;

/** `43.2 MiB` or, where it is a whole number, `43 MiB`. */
export const inMebibytes = (bytes: number): string => `${Number((bytes / mebibyte).toFixed(1))} MiB`;
