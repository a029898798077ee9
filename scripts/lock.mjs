#!/usr/bin/env zx
// Writes down the exact packages of images. Options: npm run lock -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('lock', ...process.argv.slice(2));
