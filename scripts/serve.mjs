#!/usr/bin/env zx
// The results, updates and the repository over HTTP. Options: npm run serve -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('serve', ...process.argv.slice(2));
