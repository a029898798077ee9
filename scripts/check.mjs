#!/usr/bin/env zx
// Types, lint, format and unit tests: what should pass before a commit.
import { $ } from 'zx';
import { home } from './lib/treeline.mjs';

const run = $({ cwd: home, stdio: 'inherit' });
await run`npx tsc --noEmit`;
await run`npx oxlint --deny-warnings src scripts test`;
await run`npx prettier --check --log-level warn .`;
await run`npx vitest run --project unit --reporter=dot`;
