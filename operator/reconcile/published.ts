/** What this process has published of each hub: by it an object knows whether brokers know it as it is now. */
import type { Diagnostic } from '../compile/diagnostic.ts'
import type { ObjectKey } from '../runtime/resource.ts'

/** An object as it went into the state of its hub. */
export interface PublishedMember {
  uid: string
  generation: number
  /** Of everything beside the spec that went in, such as certificates and verifiers. */
  facts: string
}

export interface PublishFailure {
  /** Of `HubStateError`. */
  code: string
  message: string
}

export interface PublishedHub {
  uid: string
  generation: number
  /** By `memberKey`. */
  members: ReadonlyMap<string, PublishedMember>
  /** What compile had to say, by `memberKey`. */
  diagnostics: ReadonlyMap<string, readonly Diagnostic[]>
  /** Devices in the state, those left out not counted. */
  devices: number
}

export type MemberKind = 'Device' | 'Network' | 'Route'

/** Within one hub. */
export const memberKey = (kind: MemberKind, name: string): string => `${kind}/${name}`

export class PublishedHubs {
  readonly #hubs = new Map<ObjectKey, PublishedHub>()
  readonly #failures = new Map<ObjectKey, PublishFailure>()

  get(hub: ObjectKey): PublishedHub | undefined {
    return this.#hubs.get(hub)
  }

  /** Why the last attempt failed; undefined: it did not, or there was none. */
  failure(hub: ObjectKey): PublishFailure | undefined {
    return this.#failures.get(hub)
  }

  /** Takes note and returns the members (`memberKey`) for which something is new, those that are gone included. */
  succeeded(hub: ObjectKey, next: PublishedHub): string[] {
    const previous = this.#hubs.get(hub)
    this.#hubs.set(hub, next)
    this.#failures.delete(hub)
    return changedMembers(previous, next)
  }

  /** True: this is news. */
  failed(hub: ObjectKey, failure: PublishFailure): boolean {
    const known = this.#failures.get(hub)
    this.#failures.set(hub, failure)
    return known?.code !== failure.code || known.message !== failure.message
  }

  forget(hub: ObjectKey): void {
    this.#hubs.delete(hub)
    this.#failures.delete(hub)
  }
}

function changedMembers(previous: PublishedHub | undefined, next: PublishedHub): string[] {
  const changed: string[] = []
  for (const [key, member] of next.members) {
    const before = previous?.members.get(key)
    const isSame =
      before?.uid === member.uid &&
      before.generation === member.generation &&
      before.facts === member.facts &&
      sameTexts(previous?.diagnostics.get(key), next.diagnostics.get(key))
    if (!isSame) changed.push(key)
  }
  for (const key of previous?.members.keys() ?? []) if (!next.members.has(key)) changed.push(key)
  return changed
}

const sameTexts = (a: readonly Diagnostic[] = [], b: readonly Diagnostic[] = []): boolean =>
  a.length === b.length &&
  a.every(({ reason, message }, n) => b[n]?.reason === reason && b[n]?.message === message)
