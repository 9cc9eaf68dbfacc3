/** What reconcilers need of the world outside the API server. */
import type { DeviceDigest } from '../../contract/activity-digest.ts'
import type { Answer, Ask } from '../../contract/asks.ts'
import type { HubState } from '../../contract/hub-state.ts'
import type { RedisAccess } from '../../contract/redis-access.ts'
import type { RouteReport } from '../../contract/route-report.ts'

/** The Redis of a hub, as the operator reaches it. */
export interface RedisTarget {
  access: RedisAccess
  /** Whether the hub has a Redis user that the operator makes and takes away. */
  hasOwnUser: boolean
  /** Password of that user, to make it with. */
  hubPassword?: string
}

export interface PublishResult {
  /** Changes written; 0: Redis held just this state. */
  changes: number
}

/** An ask that a broker waits for, with its place in the stream. */
export interface ReceivedAsk {
  entry: string
  id: string
  ask: Ask
}

/** Where compiled state goes. Calls for one hub are put in a row. Rejects with `HubStateError`. */
export interface HubStatePublisher {
  /** Resolves when brokers can read the state. Does nothing for a hub that was removed. */
  publish(target: RedisTarget, state: HubState): Promise<PublishResult>
  /** Takes everything of the hub away, its messages and sessions included, for good. */
  remove(target: RedisTarget, hubUid: string): Promise<void>
  /** What brokers report of devices, by device id; undefined: the hub was not published by this process. */
  activity(hubUid: string): Promise<ReadonlyMap<string, DeviceDigest> | undefined>
  /** What brokers of the hub wait for, the oldest first; none where the hub was not published by this process. */
  asks(hubUid: string, count: number): Promise<ReceivedAsk[]>
  /** Tells the brokers, and takes the ask out of those that wait. */
  answer(hubUid: string, entry: string, answer: Answer): Promise<void>
  /** What the route worker reports, by route id; undefined as above. */
  routeReports(hubUid: string): Promise<ReadonlyMap<string, RouteReport> | undefined>
  /** The last target that a hub was published to, for a removal after whatever named it is gone. */
  lastTarget(hubUid: string): RedisTarget | undefined
}
