#!/usr/bin/env zx
// The keys that sign updates: list, rotate, retire. Options: npm run keys -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('keys', ...process.argv.slice(2));
