/**
 * The copies of one resource over all namespaces that are watched, as one: a namespaced operator may list no more
 * than its own namespaces, one at a time.
 */
import type { Clock } from '../../contract/clock.ts'
import type { Change, ChangeHandler, Informer } from '../runtime/informer.ts'
import type { ManagedInformer } from '../runtime/manager.ts'
import { RecentWrites, type WritableView } from '../runtime/recent-writes.ts'
import { type KubeObject, keyOf, type ObjectKey, type Resource, splitKey } from '../runtime/resource.ts'

/** Which namespaces: these, all of them, or each from the moment somebody asks for it. */
export type Scope = { namespaces: readonly string[] } | 'all' | 'on-demand'

export interface InformerSetOptions<T extends KubeObject> {
  name: string
  resource: Resource
  scope: Scope
  clock: Clock
  /** Makes the informer of one namespace, or of all. */
  informer: (namespace: string | undefined, name: string) => Informer<T>
}

interface Part<T extends KubeObject> {
  informer: Informer<T>
  view: RecentWrites<T>
}

const ALL = ''

export class InformerSet<T extends KubeObject> implements ManagedInformer, WritableView<T> {
  readonly name: string
  readonly resource: Resource
  readonly #options: InformerSetOptions<T>
  readonly #parts = new Map<string, Part<T>>()
  readonly #handlers: ChangeHandler<T>[] = []
  #started = false
  #stopped = false

  constructor(options: InformerSetOptions<T>) {
    this.#options = options
    this.name = options.name
    this.resource = options.resource
    const { scope } = options
    if (scope === 'all') this.#add(ALL)
    else if (scope !== 'on-demand') for (const namespace of scope.namespaces) this.#add(namespace)
  }

  /** Begins to watch a namespace, where that is done on demand. Returns whether its copy is complete. */
  watch(namespace: string): boolean {
    if (this.#options.scope === 'on-demand' && !this.#parts.has(namespace) && !this.#stopped) {
      const { informer } = this.#add(namespace)
      if (this.#started) informer.start()
    }
    return this.#partOf(namespace)?.informer.hasSynced ?? false
  }

  get(key: ObjectKey): T | undefined {
    return this.#partOf(splitKey(key).namespace ?? ALL)?.view.get(key)
  }

  list(): T[] {
    return this.#all((view) => view.list())
  }

  byIndex(name: string, value: string): T[] {
    return this.#all((view) => view.byIndex(name, value))
  }

  note(object: T): void {
    this.#partOf(splitKey(keyOf(object)).namespace ?? ALL)?.view.note(object)
  }

  /** Calls `handler` on every change of any namespace, also of those that are added later. */
  onChange(handler: ChangeHandler<T>): void {
    this.#handlers.push(handler)
    for (const { informer } of this.#parts.values()) informer.onChange(handler)
  }

  start(): void {
    this.#started = true
    for (const { informer } of this.#parts.values()) informer.start()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.#parts.values()].map(({ informer }) => informer.stop()))
  }

  async whenSynced(signal: AbortSignal): Promise<void> {
    for (const { informer } of this.#required()) await informer.whenSynced(signal)
  }

  get hasSynced(): boolean {
    return this.#required().every(({ informer }) => informer.hasSynced)
  }

  lastSyncAge(): number {
    return Math.max(0, ...this.#required().map(({ informer }) => informer.lastSyncAge()))
  }

  isStuck(): boolean {
    return [...this.#parts.values()].some(({ informer }) => informer.isStuck())
  }

  /** A namespace watched on demand may withdraw our rights; that must not make the whole process unready. */
  #required(): Part<T>[] {
    return this.#options.scope === 'on-demand' ? [] : [...this.#parts.values()]
  }

  #add(namespace: string): Part<T> {
    const { name, clock, scope } = this.#options
    const isOnlyOne = namespace === ALL || (typeof scope === 'object' && scope.namespaces.length === 1)
    const informer = this.#options.informer(
      namespace === ALL ? undefined : namespace,
      isOnlyOne ? name : `${namespace}/${name}`,
    )
    // Before the handlers: what they wake must not see a state older than the change they were told.
    const part = { informer, view: new RecentWrites(informer, clock) }
    this.#parts.set(namespace, part)
    for (const handler of this.#handlers) informer.onChange((change: Change<T>) => handler(change))
    return part
  }

  #partOf(namespace: string): Part<T> | undefined {
    return this.#parts.get(namespace) ?? this.#parts.get(ALL)
  }

  #all(read: (view: RecentWrites<T>) => T[]): T[] {
    const parts = [...this.#parts.values()]
    return parts.length === 1 ? read(parts[0]!.view) : parts.flatMap(({ view }) => read(view))
  }
}
