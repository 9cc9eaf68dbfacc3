import type {
  AcceptRequest,
  AcceptResult,
  AcceptTarget,
  ApplicationMessage,
  SessionRecord,
  Store,
  StoredState,
  StoreLimits,
} from './store.ts'

export interface StoreUnderTest {
  /** Empty and not open yet. */
  store: Store
  /** Closes the store and gives one that finds what the first has left, not open yet. */
  reopen(): Promise<Store>
  cleanup(): Promise<void>
}

export const ROOMY: StoreLimits = { queueMessages: 1000, queueBytes: 1_000_000, queueOverflow: 'DropOldest' }
export const DISTANT = Number.MAX_SAFE_INTEGER
/** Names of things every object has: a store made of plain objects would find them in an empty one. */
export const TREACHEROUS_KEYS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']

export const FULL_MESSAGE: ApplicationMessage = {
  topic: 'a/ü/日本',
  payload: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
  qos: 2,
  retain: true,
  properties: {
    payloadFormatIndicator: false,
    contentType: 'application/octet-stream',
    responseTopic: 'reply/to',
    correlationData: Buffer.from([0, 255, 128, 10]),
    userProperties: [
      ['b', '1'],
      ['a', '2'],
      ['b', '1'],
      ['__proto__', 'é'],
    ],
  },
  expiresAt: DISTANT,
}

export function message(text: string, extra: Partial<ApplicationMessage> = {}): ApplicationMessage {
  return { topic: 't', payload: Buffer.from(text), qos: 1, retain: false, ...extra }
}

export function to(sessionKey: string, extra: Partial<AcceptTarget> = {}): AcceptTarget {
  return { sessionKey, qos: 1, retain: false, ...extra }
}

export function session(key: string, extra: Partial<SessionRecord> = {}): SessionRecord {
  return { key, deviceId: 'd', clientId: key, subscriptions: [], ...extra }
}

export async function texts(store: Store, key: string, afterSeq = 0): Promise<string[]> {
  const entries = await store.readQueue(key, afterSeq, 1000, 0)
  return entries.map((entry) => entry.message.payload.toString())
}

export async function seqs(store: Store, key: string): Promise<number[]> {
  return (await store.readQueue(key, 0, 1000, 0)).map((entry) => entry.seq)
}

/** An open store with the sessions `s/1` and `s/2`. */
export class OpenStore {
  store: Store
  readonly #subject: StoreUnderTest

  constructor(subject: StoreUnderTest) {
    this.#subject = subject
    this.store = subject.store
  }

  static async with(subject: StoreUnderTest): Promise<OpenStore> {
    await subject.store.open(ROOMY)
    for (const key of ['s/1', 's/2']) await subject.store.putSession(session(key))
    return new OpenStore(subject)
  }

  async accept({ text, ...rest }: Partial<AcceptRequest> & { text: string }): Promise<AcceptResult> {
    return this.store.accept({ message: message(text), targets: [], ...rest })
  }

  /** Queues `m1` to `m<count>`. */
  async fill(count: number, key = 's/1'): Promise<void> {
    for (let i = 1; i <= count; i += 1) await this.accept({ text: `m${i}`, targets: [to(key)] })
  }

  async reopen(): Promise<StoredState> {
    this.store = await this.#subject.reopen()
    return this.store.open(ROOMY)
  }

  close(): Promise<void> {
    return this.#subject.cleanup()
  }
}
