/** What every child gets, whatever the caller's environment holds. */
export function minimalEnvironment(): { PATH: string; HOME: string; LC_ALL: string; TZ: string } {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: process.env['HOME'] ?? '/root',
    LC_ALL: 'C.UTF-8',
    TZ: 'UTC',
  };
}
