// Gives its arguments to the program as they are, command included.
import { treeline } from '../../scripts/lib/treeline.mjs';

await treeline(...process.argv.slice(2));
