import { parseArgs } from 'node:util';
import { TreelineError } from '../host/errors.ts';
import { knownNamesHint } from '../host/nearest.ts';
import type { CommandName, CommandSpec, OptionSpecs } from './option-specs.ts';
import { commands } from './option-specs.ts';

/** The options of one call. */
export interface Arguments {
  command: CommandName;
  /** The value of an option that takes one; the last where it was repeated. */
  value(name: string): string | undefined;
  /** All values of an option that may be repeated, in order. */
  values(name: string): string[];
  has(name: string): boolean;
  /** The word that the command takes besides its options, where it was given. */
  operand: string | undefined;
}

/** Reads a command line without the program's name. Throws 'usage' for what is not known, with the nearest known name. */
export function parseArguments(argv: readonly string[], environment: NodeJS.ProcessEnv): Arguments {
  const [command, ...rest] = argv;
  if (command === undefined || !Object.hasOwn(commands, command)) {
    throw new TreelineError('usage', `Cannot run ${command ?? 'nothing'}: there is no such command`, {
      hint: knownNamesHint(command ?? '', Object.keys(commands)),
    });
  }
  const name = command as CommandName;
  const specs: OptionSpecs = commands[name].options;
  rejectOptionsTakenByNpm(specs, environment);
  const options = Object.fromEntries(
    Object.entries(specs).map(([option, spec]) => [
      option,
      { type: spec.value === undefined ? ('boolean' as const) : ('string' as const), multiple: true },
    ]),
  );
  const { tokens } = parseArgs({
    args: [...rest],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const { operand }: CommandSpec = commands[name];
  const given = new Map<string, string[]>();
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional' && operand !== undefined && words.length === 0) {
      words.push(token.value);
      continue;
    }
    if (token.kind === 'positional') {
      throw new TreelineError(
        'usage',
        `Cannot use "${token.value}": ${name} takes ${operand === undefined ? 'options only' : `one ${operand.value}`}`,
        {
          hint: `An option begins with two dashes. ${optionsHint(token.value, specs)}`,
        },
      );
    }
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined;
    if (spec === undefined) {
      throw new TreelineError('usage', `Cannot use the option ${token.rawName}: ${name} has no such option`, {
        hint: optionsHint(token.name, specs),
      });
    }
    if (spec.value !== undefined && lacksValue(token)) {
      throw new TreelineError('usage', `Cannot use ${token.rawName}: it needs a value (${spec.value})`, {
        hint: `${token.rawName} ${spec.value}: ${spec.help}`,
      });
    }
    if (spec.value === undefined && token.value !== undefined) {
      throw new TreelineError(
        'usage',
        `Cannot use ${token.rawName}=${token.value}: the option takes no value`,
        { hint: `Write ${token.rawName}, or leave it out. ${token.rawName}: ${spec.help}` },
      );
    }
    const values = given.get(token.name) ?? [];
    if (values.length > 0 && spec.value !== undefined && spec.multiple !== true) {
      throw new TreelineError('usage', `Cannot use ${token.rawName} twice: ${values[0]} and ${token.value}`, {
        hint: 'Leave one of the two out.',
      });
    }
    given.set(token.name, [...values, token.value ?? '']);
  }
  if (given.has('ssh-key') && given.has('no-ssh-key')) {
    throw new TreelineError('usage', 'Cannot use --ssh-key and --no-ssh-key together', {
      hint: 'Leave one of the two out.',
    });
  }
  if (operand?.required === true && words.length === 0 && !given.has('help')) {
    throw new TreelineError('usage', `Cannot ${name}: ${operand.value} is missing`, {
      hint: `npm run ${name} -- ${operand.value}: ${operand.help}`,
    });
  }
  return {
    operand: words[0],
    command: name,
    value: (option) => given.get(option)?.at(-1),
    values: (option) => given.get(option) ?? [],
    has: (option) => given.has(option),
  };
}

/** `--base --json` forgot a value; one that begins with a dash can be given as `--base=-x`. */
const lacksValue = ({
  value,
  inlineValue,
}: {
  value?: string | undefined;
  inlineValue?: boolean | undefined;
}): boolean => value === undefined || value === '' || (value.startsWith('-') && inlineValue !== true);

const optionsHint = (name: string, specs: OptionSpecs): string =>
  knownNamesHint(
    `--${name.replace(/^-+/, '')}`,
    Object.keys(specs).map((option) => `--${option}`),
  );

/** `npm run build:vm --service web` gives the option to npm, which drops it: better to say so than to build without. */
function rejectOptionsTakenByNpm(specs: OptionSpecs, environment: NodeJS.ProcessEnv): void {
  // npm's configuration may have these for reasons of its own.
  const npmsOwn = new Set(['json', 'offline', 'help', 'workspace', 'arch', 'quiet']);
  for (const option of Object.keys(specs)) {
    if (npmsOwn.has(option) || environment[`npm_config_${option.replaceAll('-', '_')}`] === undefined)
      continue;
    throw new TreelineError('usage', `Cannot use --${option}: npm took it for an option of its own`, {
      hint: `Write two dashes first: npm run ${environment['npm_lifecycle_event'] ?? 'build:vm'} -- --${option} …`,
    });
  }
}

/** What `--help` prints. */
export function helpText(name: CommandName): string {
  const { summary, operand, options }: CommandSpec = commands[name];
  const words = operand === undefined ? '' : `\n\n  ${operand.value.padEnd(20)} ${operand.help}`;
  const rows = Object.entries(options).map(([option, spec]) => {
    const left = `  --${option}${spec.value === undefined ? '' : ` ${spec.value}`}`;
    return `${left.padEnd(22)} ${spec.help}${spec.multiple === true && !spec.help.includes('repeat') ? '; may be repeated' : ''}`;
  });
  return `${summary}${words}\n\nOptions:\n${rows.join('\n')}\n\nDefaults for most of them can stand in treeline.yaml; see docs/settings.md.\n`;
}
