import { z } from 'zod';
import { runlevels } from '../model.ts';

/** Highest user and group id: 65535 means "no change" to old programs, and more do not exist in unprivileged containers. */
export const highestId = 65_534;

const accountName = z
  .string()
  .regex(
    /^[a-z_][a-z0-9_-]{0,31}$/,
    'a name has 1 to 32 of a-z, 0-9, _ and -, and does not begin with a digit or -',
  );
const id = z.int().min(0, `must be from 0 to ${highestId}`).max(highestId, `must be from 0 to ${highestId}`);
const absolutePath = z.string().regex(/^\/[^:\s]*$/, 'must be an absolute path without blanks and colons');
/** Where a leading slash is allowed and means the tree's root. */
const treePath = z
  .string()
  .min(1, 'must not be empty')
  .refine((path) => !path.split('/').includes('..'), 'must not contain ..')
  .refine((path) => !hasControlCharacters(path), 'must not contain control characters');

/** Package names of apk and deb, and generic ones that a pkg-map.json translates. */
export const packageName = /^[a-z0-9][a-z0-9+.@_-]*$/i;
export const packageNameRule =
  'a package name has letters, digits and + . @ _ -, and begins with a letter or digit';
const removable = (pattern: RegExp, rule: string) =>
  z.array(z.string().refine((entry) => pattern.test(entry.replace(/-$/, '')), rule));

const serviceNames = removable(
  /^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/,
  'a service name has letters, digits and _ . + -',
);
const moduleNames = removable(
  /^[A-Za-z0-9_][A-Za-z0-9_-]*\??$/,
  'a module name has letters, digits, _ and -, and perhaps a ? behind it',
);
const kernelArguments = removable(
  /^(?:[^\s"]|"[^"\n]*")+$/,
  'one argument an entry; blanks only within double quotes',
);
const moduleGlobs = removable(
  /^(?!.*\.\.)[^\s/][^\s]*$/,
  'must be a path or glob below kernel/, without a leading slash',
);

/** What the package backends take; options of apt that switch its checks off are not among it. */
const mirror = z
  .string()
  .regex(
    /^(?:(?:https?|file):\/\/\S+|\/\S*|deb .+)$/,
    'must be a URL (http://, https://, file://), a directory (/…), or a line of sources.list (deb …)',
  )
  .regex(
    /^(?!.*(?:trusted|allow-insecure|allow-weak|allow-downgrade-to-insecure)=)/,
    'must not switch the check of signatures off',
  );

const distribution = z
  .strictObject({
    id: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]*$/, 'must be lower case, as in os-release')
      .describe('ID in os-release; the name of the directory below base/ when absent'),
    name: z.string().min(1).describe('For people: Debian GNU/Linux'),
    codename: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]*$/, 'must be lower case')
      .describe('Archive suite: bookworm'),
    packages: z.enum(['deb', 'apk']).describe('Which package backend installs it'),
    releases: z
      .array(z.string().regex(/^[a-z0-9][a-z0-9._*-]*$/, 'must be lower case; * stands for any characters'))
      .describe('In base/NAME/layer.yaml: releases that need no directory of their own: latest-stable, v3.*'),
    architectures: z
      .strictObject({ x86_64: z.string().min(1).optional(), aarch64: z.string().min(1).optional() })
      .describe("Kernel's name of an architecture → the distribution's own"),
  })
  .partial();

/** File names of public keys, as signatures in Alpine's archives name them. */
export const keyName = /^[A-Za-z0-9][A-Za-z0-9@._+-]*\.rsa\.pub$/;

const repository = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]*$/, 'has lower case letters, digits and . _ -')
    .describe('Directory below MIRROR/RELEASE unless url says otherwise'),
  url: z
    .string()
    .regex(
      /^(?:(?:https?|file):\/\/\S+|\/\S*)$/,
      'must be a URL (http://, https://, file://) or a directory (/…)',
    )
    .optional()
    .describe('The directory that holds ARCH/APKINDEX.tar.gz'),
  tag: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]*$/, 'has lower case letters, digits and . _ -')
    .optional()
    .describe('Only packages that are asked for as NAME@TAG come from it'),
  keys: z
    .array(z.string().regex(keyName, 'must be the name of a file in keys/: NAME.rsa.pub'))
    .min(1, 'must name a key')
    .optional()
    .describe('Files in keys/ of a layer: these alone may sign it'),
});

const user = z.strictObject({
  name: accountName,
  uid: id,
  group: accountName
    .optional()
    .describe('Primary group; one with the name and the id of the user when absent'),
  home: absolutePath.optional().describe('/root for uid 0, /home/NAME from uid 1000 on, else /var/empty'),
  shell: absolutePath.optional().describe('/bin/sh for uid 0 and from 1000 on, else /sbin/nologin'),
  gecos: z
    .string()
    .regex(/^[^:\n]*$/, 'must not contain colons')
    .optional()
    .describe('Full name'),
  password: z
    .string()
    .regex(
      /^(?:\*|!|!?\$[0-9a-z]+\$[A-Za-z0-9./$=,+-]+)$/,
      'must be a crypt(3) hash ($6$…, as `openssl passwd -6` makes it), * or !; plain text is refused',
    )
    .optional()
    .describe('A crypt(3) hash; * (no login with a password) when absent'),
});

const group = z.strictObject({
  name: accountName,
  gid: id,
  members: z.array(accountName).optional(),
});

const owner = (kind: string) =>
  z
    .union([id, accountName], { error: `must be a name or a number from 0 to ${highestId}` })
    .describe(`${kind}: number, or name from the settings`);

const permission = z
  .strictObject({
    path: treePath,
    mode: z
      .string()
      .regex(/^[0-7]{3,4}$/, "must be three or four octal digits in quotes: '0755'")
      .optional(),
    owner: owner('User').optional(),
    group: owner('Group').optional(),
  })
  .refine(
    (entry) => entry.mode !== undefined || entry.owner !== undefined || entry.group !== undefined,
    'says nothing: add mode, owner or group',
  );

/** What a person may write into `layer.yaml`. A key that is not here is an error. */
export const layerFileSchema = z
  .strictObject({
    release: z.string().min(1).describe('In base/NAME/layer.yaml only: the release that NAME alone means'),
    distribution: distribution.describe('In layers below base/ only: what the distribution is'),
    hostname: z
      .string()
      .max(63, 'must not be longer than 63 characters')
      .regex(
        /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i,
        'has letters, digits and -, and does not begin or end with -',
      ),
    mirrors: z
      .array(mirror)
      .describe(
        'Where packages come from, in order of preference; a more specific list replaces a general one',
      ),
    repositories: z
      .array(repository)
      .describe(
        'Repositories of the mirrors (base alpine), in order; one of the same name replaces the general one',
      ),
    setuid: z
      .array(treePath)
      .describe('The only files that packages may bring with the setuid or setgid bit (base alpine)'),
    bases: z
      .array(z.string().min(1))
      .min(1, 'must name a base')
      .describe('The layer is for these bases only'),
    conflicts: z.array(z.string().min(1)).describe('Services that cannot be combined with this layer'),
    provided: removable(packageName, packageNameRule).describe(
      'Packages that the resolver takes as installed',
    ),
    exclude: z.array(treePath).describe('Paths and globs of packages that do not enter the tree'),
    users: z.array(user),
    groups: z.array(group),
    services: z
      .strictObject(
        Object.fromEntries(runlevels.map((level) => [level, serviceNames])) as Record<
          (typeof runlevels)[number],
          typeof serviceNames
        >,
      )
      .partial()
      .describe('OpenRC services by runlevel'),
    kernel: z
      .strictObject({
        enabled: z.boolean().describe('Whether the tree has a kernel and an initramfs'),
        arguments: kernelArguments.describe("Added to the kernel's command line"),
        modules: moduleGlobs.describe(
          'Globs below kernel/ that stay, with what they need; all stay when there are none',
        ),
        initramfs: moduleNames.describe(
          'Modules in the initramfs, in order; NAME? where the kernel may be without it',
        ),
      })
      .partial(),
    update: z
      .strictObject({
        url: z
          .string()
          .regex(/^(?:https?:\/\/\S+)?$/, 'must be an http:// or https:// URL, or empty')
          .describe('Base URL of the release directory that a running system asks'),
      })
      .partial(),
    permissions: z.array(permission).describe('Modes and owners that a file system or git cannot say'),
  })
  .partial();

export type LayerFile = z.infer<typeof layerFileSchema>;

/** JSON Schema of `layer.yaml`, for editors. */
export function layerJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(layerFileSchema, { io: 'input' }) as Record<string, unknown>;
  return {
    title: 'layer.yaml',
    description: 'Settings of one layer; docs/layers.md explains them',
    ...schema,
  };
}

const hasControlCharacters = (text: string): boolean => /\p{Cc}/u.test(text);
