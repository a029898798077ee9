#!/usr/bin/env zx
// Gives back the disk space of what the workspace no longer needs. Options: npm run clean -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('clean', ...process.argv.slice(2));
