#!/usr/bin/env zx
// The images that were built before, again, and the updates to them. Options: npm run build-update -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('build-update', ...process.argv.slice(2));
