#!/usr/bin/env zx
// The merged recipe, with the origin of every value. Options: npm run explain -- --help
import { treeline } from './lib/treeline.mjs';

const options = process.argv.slice(2);
const hasTarget = options.some((option) => option.startsWith('--target'));
await treeline('explain', ...(hasTarget ? [] : ['--target', 'vm']), ...options);
