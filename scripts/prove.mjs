#!/usr/bin/env zx
// Upgrades older releases to the newest one, and rolls back. Options: npm run prove -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('prove', ...process.argv.slice(2));
