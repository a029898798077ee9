import { describe, expect, it } from 'vitest';
import { helpText, parseArguments } from '../../src/cli/arguments.ts';
import { commands } from '../../src/cli/option-specs.ts';
import { TreelineError } from '../../src/host/errors.ts';

const parse = (line: string, environment: NodeJS.ProcessEnv = {}) =>
  parseArguments(line.split(' ').filter(Boolean), environment);

function refused(line: string, environment: NodeJS.ProcessEnv = {}): { message: string; hint: string } {
  try {
    parse(line, environment);
  } catch (error) {
    if (!(error instanceof TreelineError)) throw error;
    expect(error.code).toBe('usage');
    return { message: error.message, hint: error.hint ?? '' };
  }
  throw new Error(`was taken: ${line}`);
}

describe('a command line', () => {
  it('gives values, flags and repeated options in order', () => {
    const args = parse('build --target vm --target=lxc --service web --service sshd- --offline --keep=2');
    expect(args.command).toBe('build');
    expect(args.values('target')).toEqual(['vm', 'lxc']);
    expect(args.values('service')).toEqual(['web', 'sshd-']);
    expect([args.has('offline'), args.has('refresh'), args.value('keep'), args.value('layout')]).toEqual([
      true,
      false,
      '2',
      undefined,
    ]);
  });

  it('takes what stands behind an equals sign as it is', () => {
    expect(parse('build --mirror=deb=x').values('mirror')).toEqual(['deb=x']);
    expect(parse('boot --disk=-').value('disk')).toBe('-');
  });

  it.each([
    ['biuld', 'Cannot run biuld: there is no such command', 'Did you mean build?'],
    ['', 'Cannot run nothing: there is no such command', 'Known: boot, build, build-update,'],
    [
      'build --offlien',
      'Cannot use the option --offlien: build has no such option',
      'Did you mean --offline?',
    ],
    ['boot --offline', 'Cannot use the option --offline: boot has no such option', 'Known: '],
    ['build --keep', 'Cannot use --keep: it needs a value (N)', 'how many releases'],
    ['build --keep=', 'Cannot use --keep: it needs a value (N)', ''],
    ['build --offline=yes', 'Cannot use --offline=yes: the option takes no value', ''],
    ['build --keep 1 --keep 2', 'Cannot use --keep twice: 1 and 2', ''],
    ['build vm', 'Cannot use "vm": build takes options only', ''],
    ['build -- vm', 'Cannot use "vm": build takes options only', ''],
    ['build -o', 'Cannot use the option -o: build has no such option', ''],
  ])('%s is refused', (line, message, hint) => {
    const error = refused(line);
    expect(error.message).toBe(message);
    expect(error.hint).toContain(hint);
  });

  it.each(['build --service --offline', 'build --workspace --json', 'build --keep --target vm'])(
    '%s is refused: the option before has no value',
    (line) => {
      expect(refused(line).message).toMatch(/^Cannot use --(service|workspace|keep): it needs a value/);
    },
  );

  it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty'])(
    '%s is no command, and no option',
    (name) => {
      expect(refused(name).message).toBe(`Cannot run ${name}: there is no such command`);
      expect(refused(`build --${name}`).message).toBe(
        `Cannot use the option --${name}: build has no such option`,
      );
    },
  );
});

describe('options that npm took for its own', () => {
  it('are refused with the dashes that were left out', () => {
    const environment = { npm_config_service: 'web', npm_lifecycle_event: 'build:lxc' };
    const error = refused('build --target lxc', environment);
    expect(error.message).toBe('Cannot use --service: npm took it for an option of its own');
    expect(error.hint).toBe('Write two dashes first: npm run build:lxc -- --service …');
  });

  it('of several words are known by npm’s spelling', () => {
    expect(refused('build', { npm_config_update_url: 'x' }).message).toContain('--update-url');
  });

  it('that npm always sets do not count', () => {
    expect(
      parse('build', {
        npm_config_json: '',
        npm_config_arch: 'x64',
        npm_config_offline: '',
        npm_config_globalconfig: '/x',
      }).command,
    ).toBe('build');
  });
});

describe('help', () => {
  it.each(Object.keys(commands) as (keyof typeof commands)[])('of %s names every option once', (name) => {
    const text = helpText(name);
    for (const option of Object.keys(commands[name].options))
      expect(text.split('\n').filter((line) => line.startsWith(`  --${option} `))).toHaveLength(1);
  });
});
