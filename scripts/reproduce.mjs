#!/usr/bin/env zx
// Builds twice in different surroundings and compares the results. Options: npm run reproduce -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('reproduce', ...process.argv.slice(2));
