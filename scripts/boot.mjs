#!/usr/bin/env zx
// The newest disk image in QEMU. Options: npm run boot -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('boot', ...process.argv.slice(2));
