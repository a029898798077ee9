import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import PQueue from 'p-queue';
import { readIndex } from '../../src/packages/apk/formats/index-file.ts';
import { parsePublicKey } from '../../src/packages/apk/formats/keys.ts';
import type { PublicKey } from '../../src/packages/apk/formats/keys.ts';
import { verifyPackage } from '../../src/packages/apk/formats/package-file.ts';

/** The release whose packages the tests use. */
export const alpineRelease = 'v3.19';
const arch = 'x86_64';

/** Where a copy has the packages: as on a mirror. */
export const mainOf = (directory: string): string => join(directory, alpineRelease, 'main', arch);

/** Whether Alpine's packages are in a directory. */
export const holdsAlpine = (directory: string): boolean =>
  existsSync(join(mainOf(directory), 'APKINDEX.tar.gz'));

/** What an install medium of that release has. */
const names = `alpine-base alpine-baselayout alpine-baselayout-data alpine-conf alpine-keys alpine-release apk-tools bonding
bridge busybox busybox-binsh busybox-mdev-openrc busybox-openrc busybox-suid ca-certificates-bundle chrony chrony-openrc
dbus-libs dhcpcd dhcpcd-openrc doas e2fsprogs e2fsprogs-extra e2fsprogs-libs gmp gnutls ifupdown-ng ifupdown-ng-ppp
ifupdown-ng-wifi iw kbd-bkeymaps libblkid libc-utils libcap2 libcom_err libcrypto3 libedit libfdisk libffi libidn2
libncursesw libnl3 libpcap libretls libseccomp libsmartcols libssl3 libtasn1 libunistring libusb libuuid mdev-conf musl
musl-utils ncurses-terminfo-base nettle network-extras openntpd openntpd-openrc openrc openssh openssh-client-common
openssh-client-default openssh-keygen openssh-server openssh-server-common openssh-server-common-openrc
openssh-sftp-server openssl p11-kit partx pcre2 pcsc-lite-libs ppp-atm ppp-chat ppp-daemon ppp-l2tp ppp-minconn ppp-openrc
ppp-passprompt ppp-passwordfd ppp-pppoe ppp-radius ppp-winbind scanelf sfdisk ssl_client tiny-cloud tiny-cloud-alpine
tiny-cloud-nocloud tiny-cloud-openrc tzdata usb-modeswitch vlan wget wpa_supplicant wpa_supplicant-openrc yaml yx zlib`;

/** The public keys that the layer of the base pins: keys/<arch>/*.rsa.pub. */
const pinnedKeys = fileURLToPath(new URL('../../overlays/base/alpine/keys', import.meta.url));

/**
 * Fetches Alpine's packages from a mirror (URL) to `directory`, which appears when all are there; each verified with the
 * keys that the base's layer pins. Throws where the mirror does not answer within `patience` milliseconds, or lacks one.
 */
export async function fetchAlpine(
  mirror: string,
  directory: string,
  { patience = 30_000 }: { patience?: number } = {},
): Promise<void> {
  const place = `${mirror.replace(/\/+$/, '')}/${alpineRelease}/main/${arch}`;
  const keys = readPinnedKeys();
  const get = async (file: string): Promise<Buffer> => {
    const answer = await fetch(`${place}/${file}`, { signal: AbortSignal.timeout(patience) });
    if (!answer.ok) throw new Error(`${place}/${file}: ${answer.status} ${answer.statusText}`);
    return Buffer.from(await answer.arrayBuffer());
  };
  const index = await get('APKINDEX.tar.gz');
  const entries = readIndex(index, { label: `${place}/APKINDEX.tar.gz`, keys });
  await mkdir(dirname(directory), { recursive: true });
  const fresh = await mkdtemp(`${directory}.`);
  const queue = new PQueue({ concurrency: 4 });
  try {
    const main = mainOf(fresh);
    await mkdir(main, { recursive: true });
    await cp(pinnedKeys, join(fresh, 'keys'), { recursive: true });
    const bring = async (name: string): Promise<void> => {
      const expected = entries.find((entry) => entry.name === name);
      if (expected === undefined) throw new Error(`${place} has no ${name}`);
      const file = `${name}-${expected.version}.apk`;
      const bytes = await get(file);
      verifyPackage(bytes, { label: file, keys, expected, setuid: ['bin/bbsuid', 'usr/bin/doas'] });
      await writeFile(join(main, file), bytes);
    };
    await queue.addAll(names.split(/\s+/).map((name) => () => bring(name)));
    await writeFile(join(main, 'APKINDEX.tar.gz'), index);
    await rm(directory, { recursive: true, force: true });
    await rename(fresh, directory);
  } catch (error) {
    // Others are still on their way into it.
    queue.clear();
    await queue.onIdle();
    await rm(fresh, { recursive: true, force: true });
    throw error;
  }
}

function readPinnedKeys(): PublicKey[] {
  const keys = join(pinnedKeys, arch);
  return readdirSync(keys).map((name) => parsePublicKey(name, readFileSync(join(keys, name), 'utf8')));
}
