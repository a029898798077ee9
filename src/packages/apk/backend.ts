import type { PackageBackend } from '../backend.ts';
import { fetchApks } from './fetch.ts';
import { resolveApks } from './resolve.ts';
import { vendorApks } from './vendor.ts';

/** Alpine: apk, brought from the mirror, resolves from verified indexes and installs in a sandbox. */
export const apkBackend: PackageBackend = { resolve: resolveApks, fetch: fetchApks, vendor: vendorApks };
