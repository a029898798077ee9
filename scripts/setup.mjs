#!/usr/bin/env zx
// The part of ./scripts/setup that needs the npm packages: host tools and treeline.yaml.
import { treeline } from './lib/treeline.mjs';

await treeline('setup', ...process.argv.slice(2));
