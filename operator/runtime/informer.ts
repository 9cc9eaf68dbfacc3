/**
 * Keeps a local copy of the objects of one resource and tells what changed, through every way a connection to an
 * API server can fail. It never gives up and never stops without being told to; how far behind it may be is in
 * `lastSyncAge`, whether its loop still turns in `isStuck`.
 */
import { type Indexer, ObjectStore, type ObjectView } from './object-store.ts'
import { Reflector, type ReflectorOptions, type ReflectorSink } from './reflector.ts'
import { type KubeObject, keyOf, type ObjectKey, type Resource } from './resource.ts'

export interface Change<T> {
  type: 'added' | 'updated' | 'deleted'
  /** The object now; of a deleted one the last state that was seen. */
  object: T
  previous?: T
  /** Found by a list, not told by a watch: comes in bulk, and may give way to fresh edits. */
  bulk: boolean
}

/** Must only take note (enqueue a key). It runs while the informer waits. */
export type ChangeHandler<T> = (change: Change<T>) => void

export interface InformerOptions<T extends KubeObject> extends ReflectorOptions {
  indexers?: Readonly<Record<string, Indexer<T>>>
  /** Makes what is kept smaller, e.g. drops the values of Secrets. `managedFields` is dropped always. */
  transform?: (object: T) => T
}

export class Informer<T extends KubeObject> implements ObjectView<T> {
  readonly name: string
  readonly resource: Resource
  readonly #options: InformerOptions<T>
  readonly #store: ObjectStore<T>
  readonly #reflector: Reflector<T>
  readonly #handlers = new Set<ChangeHandler<T>>()
  readonly #synced = Promise.withResolvers<void>()
  #hasSynced = false

  constructor(options: InformerOptions<T>) {
    this.#options = options
    this.name = options.name ?? options.resource.plural
    this.resource = options.resource
    this.#store = new ObjectStore(options.indexers)
    this.#reflector = new Reflector<T>(options, this.#sink())
    options.metrics?.watch(this)
  }

  get size(): number {
    return this.#store.size
  }

  get(key: ObjectKey): T | undefined {
    return this.#store.get(key)
  }

  list(): T[] {
    return this.#store.list()
  }

  byIndex(name: string, value: string): T[] {
    return this.#store.byIndex(name, value)
  }

  /** True from the end of the first list on. */
  get hasSynced(): boolean {
    return this.#hasSynced
  }

  /** ms since the copy was last known to be in step: a list ended, or a byte (bookmarks too) came on the watch. */
  lastSyncAge(): number {
    return this.#reflector.lastSyncAge()
  }

  /**
   * True when the loop has not turned for twice its longest wait: a fault of this process that only a restart
   * cures. An API server that is down does not make it true, because restarting would not help there.
   */
  isStuck(): boolean {
    return this.#reflector.isStuck()
  }

  /** Calls `handler` on every change, first with all objects already known. Returns how to take it off. */
  onChange(handler: ChangeHandler<T>): () => void {
    this.#handlers.add(handler)
    for (const object of this.#store.list()) this.#call(handler, { type: 'added', object, bulk: true })
    return () => this.#handlers.delete(handler)
  }

  start(): void {
    this.#reflector.start()
  }

  /** Resolves when the first list is in, or at once when `signal` aborts (look at it then). */
  async whenSynced(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const aborted = Promise.withResolvers<void>()
    const abort = () => aborted.resolve()
    signal.addEventListener('abort', abort, { once: true })
    await Promise.race([this.#synced.promise, aborted.promise])
    signal.removeEventListener('abort', abort)
  }

  /** Ends list, watch or wait at once. The copy stays readable. */
  stop(): Promise<void> {
    return this.#reflector.stop()
  }

  #sink(): ReflectorSink<T> {
    return {
      receive: (object) => this.#receive(object),
      replaceAll: (found) => this.#replaceAll(found),
      put: (object) => this.#put(object, false),
      remove: (object) => {
        const previous = this.#store.delete(keyOf(object))
        this.#tell({ type: 'deleted', object, bulk: false, ...(previous ? { previous } : {}) })
      },
    }
  }

  #receive(object: T): T {
    // Half of an object's bytes, and nobody here reads them.
    delete object.metadata.managedFields
    // Items of a list lack them, and metadata-only answers name the envelope instead.
    object.apiVersion = this.#options.resource.apiVersion
    object.kind = this.#options.resource.kind
    return this.#options.transform ? this.#options.transform(object) : object
  }

  /** Turns the difference between copy and list into changes; the only other source of them is the watch. */
  #replaceAll(found: ReadonlyMap<ObjectKey, T>): void {
    for (const key of [...this.#store.keys()]) {
      if (found.has(key)) continue
      const object = this.#store.delete(key)!
      this.#tell({ type: 'deleted', object, bulk: true })
    }
    for (const [key, object] of found) {
      const known = this.#store.get(key)
      if (known?.metadata.resourceVersion === object.metadata.resourceVersion) continue
      this.#put(object, true)
    }
    this.#hasSynced = true
    this.#synced.resolve()
  }

  #put(object: T, bulk: boolean): void {
    const previous = this.#store.set(object)
    this.#tell(previous ? { type: 'updated', object, previous, bulk } : { type: 'added', object, bulk })
  }

  #tell(change: Change<T>): void {
    this.#options.metrics?.changed(this.name, change.type)
    for (const handler of this.#handlers) this.#call(handler, change)
  }

  #call(handler: ChangeHandler<T>, change: Change<T>): void {
    try {
      // An async function fits the handler's type; its rejection must not end the process either.
      const result: unknown = handler(change)
      if (result instanceof Promise) result.catch((error) => this.#handlerFailed(error, change))
    } catch (error) {
      this.#handlerFailed(error, change)
    }
  }

  #handlerFailed(error: unknown, change: Change<T>): void {
    this.#options.metrics?.handlerFailed(this.name)
    this.#options.logger.error(
      { informer: this.name, key: keyOf(change.object), change: change.type, err: error },
      'informer handler failed',
    )
  }
}
