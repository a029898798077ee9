#!/usr/bin/env zx
// Keeps the exact packages of images in a directory. Options: npm run vendor -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('vendor', ...process.argv.slice(2));
