import type { Manifest } from '../../src/model.ts';

/** A manifest of a release without packages and files; `parts` say what it is about. */
export const manifestOf = (parts: Partial<Manifest> = {}): Manifest => ({
  ref: 'treeline/debian-12/x86_64/vm',
  commit: 'c'.repeat(64),
  parent: null,
  version: '20260110.0',
  timestamp: 0,
  recipe: '',
  lock: '',
  inputs: '',
  packages: [],
  partitions: [],
  artifacts: [],
  ...parts,
});
