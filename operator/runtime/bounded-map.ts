/** A map that forgets what was set longest ago once it is full: for memory that helps, and is no truth. */
export class BoundedMap<K, V> {
  readonly #map = new Map<K, V>()
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  get(key: K): V | undefined {
    return this.#map.get(key)
  }

  set(key: K, value: V): void {
    this.#map.delete(key)
    this.#map.set(key, value)
    if (this.#map.size > this.#limit) this.#map.delete(this.#map.keys().next().value!)
  }

  delete(key: K): void {
    this.#map.delete(key)
  }

  values(): IterableIterator<V> {
    return this.#map.values()
  }
}
