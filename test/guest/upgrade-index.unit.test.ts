import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { lacks } from '../helpers/needs.ts';
import { withLibrary } from './busybox.ts';

const missing = lacks({ programs: ['busybox', 'gpg', 'gpgv', 'ostree'] });
const note = missing === undefined ? '' : ` (skipped: ${missing})`;

let directory: string;
const at = (...path: string[]): string => join(directory, ...path);
const gpg = (home: string, ...args: string[]): void => {
  execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--yes', ...args], { stdio: 'pipe' });
};
/** GnuPG's form of seconds since 1970, at which its clock stands still. */
const clock = (seconds: number): string[] => [
  '--faked-system-time',
  `${new Date(seconds * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}!`,
];
const keyMade = 1_700_000_000;

beforeAll(() => {
  if (missing !== undefined) return;
  // Short: sockets of gpg-agent lie in it.
  directory = mkdtempSync(join(tmpdir(), 'tl-index-'));
  for (const name of ['ours', 'other']) {
    mkdirSync(at(name), { mode: 0o700 });
    const quick = ['--pinentry-mode', 'loopback', '--passphrase', '', '--quick-generate-key'];
    gpg(at(name), ...clock(keyMade), ...quick, name, 'ed25519', 'sign', 'never');
    gpg(at(name), '--output', at(`${name}.gpg`), '--export');
  }
});
afterAll(() => {
  if (missing !== undefined) return;
  for (const name of ['ours', 'other']) execFileSync('gpgconf', ['--homedir', at(name), '--kill', 'all']);
  rmSync(directory, { recursive: true, force: true });
});

describe.skipIf(missing !== undefined)(`the update index's signature${note}`, () => {
  const text =
    '{"format": 2, "refs": {"r": {"commit": "c", "version": "2", "timestamp": 5}}, "deltas": []}\n';
  const day = 86_400;

  beforeEach(() => {
    rmSync(at('server'), { recursive: true, force: true });
    rmSync(at('state'), { recursive: true, force: true });
    mkdirSync(at('server/updates'), { recursive: true });
    mkdirSync(at('state'));
    writeFileSync(at('server/updates/index.json'), text);
  });

  const sign = (home: string, made: number, days = 0): Buffer => {
    const path = at('signature');
    const expiry = days === 0 ? [] : ['--default-sig-expire', `${days}d`];
    gpg(
      at(home),
      ...clock(made),
      ...expiry,
      '--output',
      path,
      '--detach-sign',
      at('server/updates/index.json'),
    );
    return readFileSync(path);
  };
  const signature = (): string => {
    const hash = createHash('sha256')
      .update(readFileSync(at('server/updates/index.json')))
      .digest('hex');
    return at(`server/updates/index-${hash.slice(0, 16)}.sig`);
  };
  const publish = (...signatures: Buffer[]): void => writeFileSync(signature(), Buffer.concat(signatures));
  const read = (now: number, more = '') => {
    rmSync(at('work'), { recursive: true, force: true });
    mkdirSync(at('work'));
    return withLibrary(
      ['common', 'upgrade'],
      `work=${at('work')} keyring=${at('ours.gpg')} update_url=${at('server')} now=${now} ref=r downgrade_allowed=
       state=${at('state')} index_time_file=${at('state/index-time')} downloads=${at('state/downloads')}
       download_small() { cp "$1" "$2"; }
       ${more}
       fetch_index && echo "made $index_made"`,
    );
  };
  const seen = (): string | undefined =>
    existsSync(at('state/index-time')) ? readFileSync(at('state/index-time'), 'utf8').trim() : undefined;

  it('says when the index was made, and the machine remembers that', () => {
    publish(sign('ours', keyMade + 5, 90));
    expect(read(keyMade + day)).toEqual({ status: 0, stdout: `made ${keyMade + 5}\n`, stderr: '' });
    expect(seen()).toBe(String(keyMade + 5));
  });

  it('is good also while the clock says 1970', () => {
    publish(sign('ours', keyMade + 5, 90));
    expect(read(0)).toMatchObject({ status: 0 });
  });

  it('may stand beside one of a key that the image does not have', () => {
    publish(sign('other', keyMade + 9), sign('ours', keyMade + 5), sign('other', keyMade + 9));
    expect(read(keyMade + day)).toEqual({ status: 0, stdout: `made ${keyMade + 5}\n`, stderr: '' });
  });

  it('must be of a key that the image has', () => {
    publish(sign('other', keyMade + 5));
    const { status, stderr } = read(keyMade + day);
    expect(status).toBe(1);
    expect(stderr).toContain('is not signed by the key of this image');
    expect(seen()).toBeUndefined();
  });

  it('must be of this very text', () => {
    const made = sign('ours', keyMade + 5);
    writeFileSync(at('server/updates/index.json'), text.replace('"2"', '"3"'));
    expect(read(keyMade + day).stderr).toContain('nobody has signed the update index');
    publish(made);
    expect(read(keyMade + day).stderr).toContain('is not signed by the key of this image');
  });

  it.each(['', 'not a signature', '\u0000'])('must be one: not %j', (content) => {
    writeFileSync(signature(), content);
    expect(read(keyMade + day).stderr).toContain('is not signed by the key of this image');
  });

  it('does not count when it has expired', () => {
    publish(sign('ours', keyMade, 90));
    expect(read(keyMade + 89 * day).status).toBe(0);
    const { status, stderr } = read(keyMade + 91 * day);
    expect(status).toBe(1);
    expect(stderr).toContain('has expired on 2024-02-12 22:13 UTC');
    expect(stderr).toContain('nothing has changed');
  });

  it('counts beside one that has expired', () => {
    // gpgv reads none behind one that has expired.
    publish(sign('ours', keyMade + 3 * day, 90), sign('ours', keyMade, 1));
    expect(read(keyMade + 4 * day)).toMatchObject({ status: 0, stdout: `made ${keyMade + 3 * day}\n` });
  });

  it('must not be older than the last one that was seen, unless that is allowed', () => {
    publish(sign('ours', keyMade + 2 * day));
    expect(read(keyMade + 4 * day).status).toBe(0);
    publish(sign('ours', keyMade + day));
    const { status, stderr } = read(keyMade + 4 * day);
    expect(status).toBe(1);
    expect(stderr).toContain(
      'is of 2023-11-15 22:13 UTC, and this machine has seen one of 2023-11-16 22:13 UTC',
    );
    expect(read(keyMade + 4 * day, 'downgrade_allowed=yes').status).toBe(0);
    expect(seen()).toBe(String(keyMade + 2 * day));
  });

  it('may be the same as last time', () => {
    publish(sign('ours', keyMade + day));
    expect(read(keyMade + 2 * day).status).toBe(0);
    expect(read(keyMade + 2 * day).status).toBe(0);
  });

  it('is not the last word where the machine’s memory of it is damaged', () => {
    writeFileSync(at('state/index-time'), 'x; reboot\n');
    publish(sign('ours', keyMade + day));
    expect(read(keyMade + 2 * day)).toMatchObject({ status: 0 });
    expect(seen()).toBe(String(keyMade + day));
  });

  it('does not make another format readable', () => {
    writeFileSync(at('server/updates/index.json'), text.replace('2', '1'));
    publish(sign('ours', keyMade + day));
    expect(read(keyMade + 2 * day).stderr).toContain('has format 1, which this version does not know');
  });

  it('is checked again where a downloaded index is applied', () => {
    publish(sign('ours', keyMade + day));
    mkdirSync(at('state/downloads'));
    copyFileSync(signature(), at('state/downloads/index.json.sig'));
    writeFileSync(at('state/downloads/index.json'), text.replace('"2"', '"3"'));
    const { stderr } = read(keyMade + 2 * day, 'fetch_index() { read_saved_index; }');
    expect(stderr).toContain(
      'the update index of what was downloaded is not signed by the key of this image',
    );
  });
});

describe.skipIf(missing !== undefined)(`a commit that arrived${note}`, () => {
  let ours: string;
  const commit = (...options: string[]): string =>
    execFileSync(
      'ostree',
      ['commit', `--repo=${at('repo')}`, '--orphan', `--tree=dir=${at('tree')}`, ...options],
      { encoding: 'utf8' },
    ).trim();
  const make = ({ ref = 'r', time = 2000, version = '2', signer = 'ours' } = {}): string => {
    const id = commit(
      `--bind-ref=${ref}`,
      `--timestamp=@${time}`,
      `--add-metadata-string=version=${version}`,
    );
    if (signer === '') return id;
    const keys = execFileSync('gpg', ['--homedir', at(signer), '--list-keys', '--with-colons'], {
      encoding: 'utf8',
    });
    const key = /^fpr:+([0-9A-F]{40}):/m.exec(keys)![1]!;
    execFileSync('ostree', ['gpg-sign', `--repo=${at('repo')}`, `--gpg-homedir=${at(signer)}`, id, key]);
    return id;
  };
  const check = (id: string, more = '') =>
    withLibrary(
      ['common', 'upgrade'],
      `work=${at('work')} keyring=${at('ours.gpg')} repository=${at('repo')} ref=r origin=o now=0 running_time=1000 version=1
       downgrade_allowed= target_version= source=file
       forget_target() { echo forgotten; }
       ${more}
       check_commit ${id} && echo "$target_version $target_time"`,
    );

  beforeAll(() => {
    if (missing !== undefined) return;
    mkdirSync(at('work'), { recursive: true });
    mkdirSync(at('tree'));
    writeFileSync(at('tree/file'), 'content\n');
    execFileSync('ostree', ['init', `--repo=${at('repo')}`, '--mode=bare-user']);
    ours = make();
  });

  it('is taken where it is signed and for this ref, whatever the clock says', () => {
    expect(check(ours)).toEqual({ status: 0, stdout: '2 2000\n', stderr: '' });
  });

  it.each([
    ['is not signed', { signer: '' }, 'is not signed by the key of this image'],
    ['is signed by another key', { signer: 'other' }, 'is not signed by the key of this image'],
    ['is for another ref', { ref: 'r2' }, "is not for r, but for ['r2']"],
    ['is older than the running one', { time: 999 }, 'is older than 1, the running one'],
    ['has no decent version', { version: '$(reboot)' }, 'says no version'],
  ])('leaves again where it %s', (_, what, message) => {
    const { status, stdout, stderr } = check(make({ version: '3', ...what }));
    expect({ status, stdout }).toEqual({ status: 1, stdout: 'forgotten\n' });
    expect(stderr).toContain(message);
    expect(stderr).toContain('nothing has changed');
  });

  it('may be older where that is allowed', () => {
    expect(check(make({ time: 999 }), 'downgrade_allowed=yes')).toMatchObject({ status: 0 });
  });

  it('is refused where it is not there at all', () => {
    expect(check('d'.repeat(64)).stderr).toContain('does not bring the commit');
  });
});
