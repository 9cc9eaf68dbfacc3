import type { Clock } from '../../contract/clock.ts'
import type { Informer } from './informer.ts'
import type { ObjectView } from './object-store.ts'
import { isLaterVersion, type KubeObject, keyOf, type ObjectKey } from './resource.ts'

/** A view that takes note of what this process has written itself. */
export interface WritableView<T extends KubeObject> extends ObjectView<T> {
  /** Tells the object as a write's answer had it. */
  note(object: T): void
}

/**
 * How long a write of ours is believed when the informer has not shown it. Normally that takes milliseconds; an
 * object that was made and deleted while the watch was away is never shown, and must not be believed for ever.
 */
const BELIEVED_MS = 30_000

/**
 * An informer's copy with this process's own writes on top of it. Without it the run after a write decides by
 * the state before, and sends (or makes) the same thing again.
 */
export class RecentWrites<T extends KubeObject> implements WritableView<T> {
  readonly #informer: Informer<T>
  readonly #clock: Clock
  readonly #written = new Map<ObjectKey, { object: T; at: number }>()

  constructor(informer: Informer<T>, clock: Clock) {
    this.#informer = informer
    this.#clock = clock
    informer.onChange(({ type, object, bulk }) => {
      const written = this.#written.get(keyOf(object))
      if (!written) return
      // A deletion found by a list carries the last version that was seen, not that of the deletion.
      const sameGone = type === 'deleted' && bulk && object.metadata.uid === written.object.metadata.uid
      if (sameGone || !this.#isNewer(written.object, object)) this.#written.delete(keyOf(object))
    })
  }

  note(object: T): void {
    this.#forgetOld()
    if (!this.#isNewer(object, this.get(keyOf(object)))) return
    this.#written.set(keyOf(object), { object, at: this.#clock.monotonic() })
  }

  get(key: ObjectKey): T | undefined {
    const known = this.#informer.get(key)
    const written = this.#written.get(key)
    if (!written || this.#isOld(written.at) || !this.#isNewer(written.object, known)) return known
    return written.object
  }

  list(): T[] {
    return this.#informer.list()
  }

  byIndex(name: string, value: string): T[] {
    return this.#informer.byIndex(name, value)
  }

  #isNewer(object: T, than: T | undefined): boolean {
    return isLaterVersion(object.metadata.resourceVersion, than?.metadata.resourceVersion)
  }

  #isOld(at: number): boolean {
    return this.#clock.monotonic() - at > BELIEVED_MS
  }

  /** Entries are in order of their time, so the old ones come first. */
  #forgetOld(): void {
    for (const [key, { at }] of this.#written) {
      if (!this.#isOld(at)) return
      this.#written.delete(key)
    }
  }
}
