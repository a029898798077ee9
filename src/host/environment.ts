/** What every child gets, whatever the caller's environment holds. */
export function minimalEnvironment(): { PATH: string; HOME: string; LC_ALL: string; TZ: string } {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: process.env['HOME'] ?? '/root',
    LC_ALL: 'C.UTF-8',
    TZ: 'UTC',
  };
}

/** The caller's proxies, for the programs that download; they decide the way, not what arrives. */
export function proxyVariables(): Record<string, string> {
  const names = [
    'http_proxy',
    'https_proxy',
    'no_proxy',
    'all_proxy',
    'HTTPS_PROXY',
    'NO_PROXY',
    'ALL_PROXY',
  ];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]!]] : [])));
}

/** How the user's gpg-agent is reached, and where it may ask for a passphrase. */
export function agentVariables(): Record<string, string> {
  const names = ['GPG_TTY', 'DISPLAY', 'WAYLAND_DISPLAY', 'XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]!]] : [])));
}
