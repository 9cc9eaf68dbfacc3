/** `host`, `host:port` or `[IPv6]:port` of a spec; `host` without brackets. */
export function serverAddress(text: string, defaultPort: number): { host: string; port: number } {
  const [, bracketed, plain = '', port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? []
  return { host: bracketed ?? plain, port: port === undefined ? defaultPort : Number(port) }
}
