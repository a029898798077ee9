#!/usr/bin/env zx
// A disk image for a virtual machine. Options: npm run build:vm -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('build', '--target', 'vm', ...process.argv.slice(2));
