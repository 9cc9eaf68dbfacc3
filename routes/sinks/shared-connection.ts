/**
 * One connection that all deliveries of a sink use: made when it is first needed, made again after it broke.
 * Deliveries that come meanwhile wait for the same attempt.
 */
export interface SharedConnection<T> {
  /** Rejects as `open` does, and as soon as `signal` aborts. The next call then tries again. */
  get(signal: AbortSignal): Promise<T>
  /** It is of no use any more. */
  drop(connection: T): void
  /** Ends the connection; one that is still being made is ended once it is there, which nobody waits for. */
  close(): Promise<void>
}

interface Ways<T> {
  /** `closing` aborts when nobody wants the connection any more; one that comes after is ended. */
  open(closing: AbortSignal): Promise<T>
  end(connection: T): Promise<void>
}

export function shareConnection<T>({ open, end }: Ways<T>): SharedConnection<T> {
  const closing = new AbortController()
  let current: Promise<T> | undefined
  let present: T | undefined

  const make = (): Promise<T> => {
    const made = open(closing.signal)
    current = made
    made.then(
      (connection) => {
        if (current === made) present = connection
      },
      () => {
        if (current === made) current = undefined
      },
    )
    return made
  }

  return {
    get: async (signal) => await beforeAbort(current ?? make(), signal),
    drop(connection) {
      if (present === connection) {
        present = undefined
        current = undefined
      }
      end(connection).catch(() => {})
    },
    async close() {
      closing.abort()
      const last = current
      current = undefined
      const ended = last?.then(end).catch(() => {})
      if (present !== undefined) await ended
    },
  }
}

/** What `promise` settles to, or a rejection at once when `signal` aborts first. */
export async function beforeAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // What comes after the abort is of no interest, and must not be an unhandled rejection.
  promise.catch(() => {})
  signal.throwIfAborted()
  let onAbort = () => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
