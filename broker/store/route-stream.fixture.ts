import type { DeadLetter, RouteAppend, RouteEntry, RouteStream } from '../../contract/route-stream.ts'
import { message, ROOMY, type StoreUnderTest, session } from './store.fixture.ts'
import type { AcceptRequest, AcceptResult, ApplicationMessage, Store } from './store.ts'

export const NEVER = new AbortController().signal
export const TIME = Date.UTC(2026, 0, 1)

/** One partition and room for all, unless a test says otherwise. */
export function into(routeId: string, extra: Partial<RouteAppend> = {}): RouteAppend {
  const buffer = { messages: 1000, bytes: 1_000_000, overflow: 'DropOldest' as const }
  return { routeId, partitions: 1, buffer, ...extra }
}

export const bounds = (
  messages: number,
  overflow: RouteAppend['buffer']['overflow'],
  bytes = 1_000_000,
): Partial<RouteAppend> => ({ buffer: { messages, bytes, overflow } })

export function letter(entry: RouteEntry, extra: Partial<DeadLetter> = {}): DeadLetter {
  return {
    entry,
    attempts: 3,
    firstError: { code: 'TIMEOUT', message: 'no answer', time: TIME + 1 },
    lastError: { code: 'REFUSED', message: 'not wanted', time: TIME + 2 },
    deadAt: TIME + 3,
    ...extra,
  }
}

export const textOf = ({ payload }: RouteEntry): string => payload.toString()
export const positionsOf = (entries: readonly RouteEntry[]): string[] =>
  entries.map((entry) => entry.position)

/** An open store with the session `s/1`, and what a broker and a worker do with it. */
export class OpenStreams {
  store: Store
  readonly #subject: StoreUnderTest
  #messages = 0

  constructor(subject: StoreUnderTest) {
    this.#subject = subject
    this.store = subject.store
  }

  static async with(subject: StoreUnderTest): Promise<OpenStreams> {
    await subject.store.open(ROOMY)
    await subject.store.putSession(session('s/1'))
    return new OpenStreams(subject)
  }

  get stream(): RouteStream {
    return this.store.routes()
  }

  /** Appends a message; its id is `id-<n>`, its time `TIME + n`. */
  async append(
    text: string,
    to: readonly RouteAppend[],
    {
      message: extra = {},
      ...rest
    }: Partial<Omit<AcceptRequest, 'message'>> & { message?: Partial<ApplicationMessage> } = {},
  ): Promise<AcceptResult> {
    this.#messages += 1
    const routes = { into: to, id: `id-${this.#messages}`, time: TIME + this.#messages }
    return this.store.accept({ message: message(text, extra), targets: [], routes, ...rest })
  }

  async read(
    routeId = 'r',
    { partition = 0, after, limit = 1000 }: { partition?: number; after?: string; limit?: number } = {},
  ): Promise<RouteEntry[]> {
    return this.stream.read(
      { routeId, partition },
      { ...(after === undefined ? {} : { after }), limit, waitMs: 0, signal: NEVER },
    )
  }

  async texts(routeId = 'r', partition = 0): Promise<string[]> {
    return (await this.read(routeId, { partition })).map(textOf)
  }

  async deadTexts(routeId = 'r'): Promise<string[]> {
    return (await this.stream.deadLetters(routeId, { limit: 1000 })).map(({ entry }) => textOf(entry))
  }

  /** Buries everything that waits in partition 0. */
  async buryAll(routeId = 'r', extra: Partial<DeadLetter> = {}): Promise<DeadLetter[]> {
    const letters = (await this.read(routeId)).map((entry) => letter(entry, extra))
    await this.stream.bury({ routeId, partition: 0 }, letters, { maxMessages: 1000 })
    return letters
  }

  async reopen(): Promise<void> {
    this.store = await this.#subject.reopen()
    await this.store.open(ROOMY)
  }

  close(): Promise<void> {
    return this.#subject.cleanup()
  }
}
