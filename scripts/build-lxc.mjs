#!/usr/bin/env zx
// A template for LXC, Incus and Proxmox. Options: npm run build:lxc -- --help
import { treeline } from './lib/treeline.mjs';

await treeline('build', '--target', 'lxc', ...process.argv.slice(2));
