/** Where one listener binds; port 0 takes a free one. */
export interface ListenerAddress {
  host: string
  port: number
}
