import { type KubeObject, keyOf, type ObjectKey } from './resource.ts'

/** Values to find an object by; an object may have several, or none. */
export type Indexer<T> = (object: T) => readonly string[]

/** What a view of cached objects lets its readers do. Objects are shared: never change one. */
export interface ObjectView<T extends KubeObject> {
  get(key: ObjectKey): T | undefined
  list(): T[]
  /** Objects for which the named indexer gave `value`. Throws on a name that no indexer has. */
  byIndex(name: string, value: string): T[]
}

/** Objects by key, and by the values of each indexer, kept in step. */
export class ObjectStore<T extends KubeObject> implements ObjectView<T> {
  readonly #objects = new Map<ObjectKey, T>()
  readonly #indexers: Readonly<Record<string, Indexer<T>>>
  readonly #indexes = new Map<string, Map<string, Map<ObjectKey, T>>>()

  constructor(indexers: Readonly<Record<string, Indexer<T>>> = {}) {
    this.#indexers = indexers
    for (const name of Object.keys(indexers)) this.#indexes.set(name, new Map())
  }

  get size(): number {
    return this.#objects.size
  }

  get(key: ObjectKey): T | undefined {
    return this.#objects.get(key)
  }

  keys(): IterableIterator<ObjectKey> {
    return this.#objects.keys()
  }

  list(): T[] {
    return [...this.#objects.values()]
  }

  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name)
    if (!index)
      throw new Error(`expected one of the indexes ${Object.keys(this.#indexers).join(', ')}, got ${name}`)
    return [...(index.get(value)?.values() ?? [])]
  }

  /** Stores the object and returns the one it replaces. */
  set(object: T): T | undefined {
    const key = keyOf(object)
    const previous = this.#objects.get(key)
    if (previous) this.#unindex(key, previous)
    this.#objects.set(key, object)
    for (const [name, index] of this.#indexes) {
      for (const value of this.#indexers[name]!(object)) {
        const bucket = index.get(value)
        if (bucket) bucket.set(key, object)
        else index.set(value, new Map([[key, object]]))
      }
    }
    return previous
  }

  delete(key: ObjectKey): T | undefined {
    const previous = this.#objects.get(key)
    if (!previous) return undefined
    this.#unindex(key, previous)
    this.#objects.delete(key)
    return previous
  }

  #unindex(key: ObjectKey, object: T): void {
    for (const [name, index] of this.#indexes) {
      for (const value of this.#indexers[name]!(object)) {
        const bucket = index.get(value)
        bucket?.delete(key)
        if (bucket?.size === 0) index.delete(value)
      }
    }
  }
}
