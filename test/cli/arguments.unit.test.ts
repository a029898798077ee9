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

describe('the word that a command takes besides its options', () => {
  it('may stand before or behind them', () => {
    expect(parse('vendor kept --target vm').operand).toBe('kept');
    expect(parse('vendor --target vm kept').operand).toBe('kept');
    expect(parse('vendor -- --kept').operand).toBe('--kept');
    expect(parse('lock file.json').operand).toBe('file.json');
  });

  it('may be left out where there is a default', () => {
    expect(parse('lock --target vm').operand).toBeUndefined();
    expect(parse('build --target vm').operand).toBeUndefined();
  });

  it('is asked for where there is none, but not for help', () => {
    const error = refused('vendor --target vm');
    expect(error.message).toBe('Cannot vendor: DIR is missing');
    expect(error.hint).toContain('npm run vendor -- DIR');
    expect(parse('vendor --help').has('help')).toBe(true);
  });

  it.each([
    ['lock a b', 'Cannot use "b": lock takes one FILE'],
    ['vendor a b --target vm', 'Cannot use "b": vendor takes one DIR'],
    ['serve out', 'Cannot use "out": serve takes options only'],
  ])('is one: %s is refused', (line, message) => {
    expect(refused(line).message).toBe(message);
  });

  it('does not take the place of an option’s value', () => {
    const args = parse('lock --mirror /srv/kept file.json');
    expect([args.values('mirror'), args.operand]).toEqual([['/srv/kept'], 'file.json']);
  });

  it('stands in the help', () => {
    expect(helpText('vendor')).toMatch(/^ {2}DIR {2,}the directory: new, empty,/m);
    expect(helpText('lock')).toMatch(/^ {2}FILE {2,}where the lock is written/m);
    expect(helpText('build')).not.toMatch(/^ {2}(DIR|FILE)/m);
  });
});

describe('locks', () => {
  it('are read by builds and by vendor, and a lock is made without one', () => {
    expect(parse('build --lock a.json').value('lock')).toBe('a.json');
    expect(parse('vendor kept --lock a.json').value('lock')).toBe('a.json');
    expect(refused('lock --lock a.json').message).toContain('--lock');
  });
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
