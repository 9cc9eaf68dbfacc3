/**
 * Sockets that have not yet told who they are. Each holds a place from accept on, before TLS or HTTP, so that
 * neither their number nor their time is unbounded, whatever layer they stall in.
 */
import type { Socket } from 'node:net'
import type { PendingPlace } from './listener-host.ts'

export type DropReason = 'Late' | 'PushedOut'

export interface PendingPlacesOptions {
  /** Read at every accept, so that a new limit holds at once. */
  limit: () => number
  /** How long a place may be held; `Infinity`: as long as the socket lives. */
  timeoutMs: number
  /** Told before the socket is destroyed. Never called for a place that was left. */
  onDrop: (place: Place, reason: DropReason) => void
  /** A monotone clock in ms. */
  now: () => number
}

/** The places of one bound, oldest first. A `Set` keeps that order and forgets any member in O(1). */
export class PendingPlaces {
  readonly #options: PendingPlacesOptions
  readonly #places = new Set<Place>()
  /** One for all: the first place is always the next to expire. */
  #timer: NodeJS.Timeout | undefined

  constructor(options: PendingPlacesOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#places.size
  }

  /** Takes a place for a socket just accepted; who has waited longest makes room. */
  take(socket: Socket, address: string): Place {
    const { timeoutMs, now } = this.#options
    const place = new Place(this.#places, { socket, address, expiresAt: now() + timeoutMs })
    this.#places.add(place)
    this.trim()
    this.#schedule()
    return place
  }

  /** Drops what is over the limit, after it changed. */
  trim(): void {
    // Not below one: with no place at all nobody could connect, and the newcomer would push out itself.
    const limit = Math.max(1, this.#options.limit())
    for (const place of this.#places) {
      if (this.#places.size <= limit) return
      this.#drop(place, 'PushedOut')
    }
  }

  /** Destroys every pending socket without a word. */
  close(): void {
    clearTimeout(this.#timer)
    for (const place of this.#places) {
      place.leave()
      place.socket.destroy()
    }
  }

  #drop(place: Place, reason: DropReason): void {
    place.leave()
    place.dropped = true
    this.#options.onDrop(place, reason)
    place.socket.destroy()
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#options.timeoutMs === Number.POSITIVE_INFINITY) return
    const first = this.#first()
    if (first === undefined) return
    this.#timer = setTimeout(() => this.#expire(), Math.max(1, first.expiresAt - this.#options.now()))
    this.#timer.unref()
  }

  #expire(): void {
    this.#timer = undefined
    const now = this.#options.now()
    for (const place of this.#places) {
      if (place.expiresAt > now) break
      this.#drop(place, 'Late')
    }
    this.#schedule()
  }

  #first(): Place | undefined {
    for (const place of this.#places) return place
    return undefined
  }
}

interface PlaceParts {
  socket: Socket
  address: string
  expiresAt: number
}

export class Place implements PendingPlace {
  /** The TCP socket, also under TLS. */
  readonly socket: Socket
  /** `ip:port` of the client, read while it was still known; the one that a trusted proxy names, if any. */
  address: string
  readonly expiresAt: number
  dropped = false
  readonly #places: Set<Place>

  constructor(places: Set<Place>, { socket, address, expiresAt }: PlaceParts) {
    this.#places = places
    this.socket = socket
    this.address = address
    this.expiresAt = expiresAt
  }

  get held(): boolean {
    return this.#places.has(this)
  }

  leave(): void {
    this.#places.delete(this)
  }

  /** Counts as the youngest again. Only where places do not expire: the order is that of expiry too. */
  renew(): void {
    if (this.#places.delete(this)) this.#places.add(this)
  }
}
