#!/usr/bin/env zx
// A template for OpenVZ. Options: npm run build:ovz -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('build', '--target', 'ovz', ...process.argv.slice(2));
