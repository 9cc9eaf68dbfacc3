/** The one thing a link needs of a socket, be it TCP, TLS or WebSocket. */
export interface Transport {
  write(chunk: Buffer): void
  /** Bytes handed over and not yet taken by the kernel. */
  readonly pendingBytes: number
  /** Bytes the kernel has taken since the start: tells a slow reader from a frozen one. */
  readonly flushedBytes: number
  pause(): void
  resume(): void
  /** Sends what is pending, then closes. */
  end(): void
  /** Closes at once. */
  destroy(): void
}

export interface TransportHandlers {
  onData(chunk: Buffer): void
  /** Exactly once, whoever closed. */
  onClose(): void
}
