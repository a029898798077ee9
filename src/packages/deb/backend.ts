import type { PackageBackend } from '../backend.ts';
import { fetchDebs } from './fetch.ts';
import { resolveDebs } from './resolve.ts';

/** Debian: apt resolves and downloads with a state of its own; nothing of the host's apt is changed. */
export const debBackend: PackageBackend = { resolve: resolveDebs, fetch: fetchDebs };
