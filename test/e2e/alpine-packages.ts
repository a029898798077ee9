import type { ApkRequest } from '../helpers/apks.ts';

/** Takes the place of Debian's `hello`, which the overlay asks for. */
export const helloOne: ApkRequest = {
  name: 'hello',
  version: '1.0-r0',
  depends: ['/bin/sh'],
  files: { 'usr/bin/hello': { content: '#!/bin/sh\necho "Hello, world!"\n', mode: 0o755 } },
};

/** What the second version brings: a user and a group of its own, and a directory that belongs to them. */
export const helloTwo: ApkRequest = {
  ...helloOne,
  version: '1.1-r0',
  scripts: {
    '.pre-install': `#!/bin/sh
addgroup -S greeter 2>/dev/null
adduser -S -D -H -h /var/lib/greeter -s /sbin/nologin -G greeter -g greeter greeter 2>/dev/null
exit 0
`,
  },
  files: {
    ...helloOne.files,
    'var/lib/greeter/': { mode: 0o750, uname: 'greeter', gname: 'greeter' },
  },
};
