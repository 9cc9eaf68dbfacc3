/**
 * Every Redis key and channel of a hub. All start with `hublet:{<hub uid>}:`, whose braces are a hash tag: one
 * hub lives on one shard of a cluster, so that scripts and transactions may touch any of its keys at once, and
 * two hubs on one Redis share no key and no channel (Redis channels know nothing of database numbers).
 *
 * | key after the prefix      | type   | holds                                                                    |
 * |---------------------------|--------|--------------------------------------------------------------------------|
 * | **`state:`**              |        | **written by the operator, read by brokers** (`hub-state.ts`)            |
 * | `state:version`           | string | `HUB_STATE_VERSION` of what is stored                                    |
 * | `state:revision`          | string | number of the last change, counted up from the time (µs) of the first   |
 * | `state:hub`               | string | JSON HubRecord                                                           |
 * | `state:networks`          | string | JSON NetworkRecord[]                                                     |
 * | `state:routes`            | string | JSON RouteRecord[]                                                       |
 * | `state:devices`           | hash   | device id → JSON DeviceRecord                                            |
 * | `state:names`             | hash   | device name → device id                                                  |
 * | `state:fingerprints`      | hash   | certificate fingerprint → device id                                      |
 * | `state:digests`           | hash   | device id → digest of its JSON: what the operator compares with          |
 * | `state:changes`           | stream | one entry a change, `<revision>-0`, trimmed (`hub-change.ts`)            |
 * | **`store:`**              |        | **written by the one broker that owns the store** (`broker/store`)       |
 * | `store:version`           | string | version of this layout                                                   |
 * | `store:owner`             | string | boot id of the broker that may write: the fence                          |
 * | `store:last`              | string | number and answers of the last batch, so that none is run twice          |
 * | `store:sessions`          | hash   | session key → JSON SessionRecord: also the index of the keys below       |
 * | `store:wills`             | hash   | session key → will                                                       |
 * | `store:retained`          | hash   | topic → message                                                          |
 * | `store:bytes`             | hash   | session key → bytes that wait in its queue; has every session            |
 * | `store:bodies`            | hash   | body id → message that several queues share                              |
 * | `store:body-refs`         | hash   | body id → how many queue entries refer to it                             |
 * | `store:next-body`         | string | last body id given                                                       |
 * | `store:trash`             | list   | queues of deleted sessions whose shared messages are still to be let go  |
 * | `store:queue:<session>`   | stream | waiting messages, `0-<seq>`                                              |
 * | `store:released:<session>`| zset   | released entries, seq → `<seq>:<granted QoS>`                            |
 * | `store:incoming:<session>`| set    | packet ids of QoS 2 messages whose PUBREL is still to come               |
 * | `store:trash:<n>`         | stream | a queue out of `store:trash`                                             |
 * | **`routes:`**             |        | **streams between brokers and route workers**                            |
 * | `routes:ids`              | set    | ids of the routes that have any of the keys below                        |
 * | `routes:owner`            | string | `<pod>/<boot id>` of the worker that delivers, expires: the fence        |
 * | `routes:<id>:totals`      | hash   | last seq, messages, bytes, dropped, partitions in use                    |
 * | `routes:<id>:p<n>`        | stream | waiting messages of a partition, `0-<seq>`                               |
 * | `routes:<id>:dead`        | hash   | seq → dead letter                                                        |
 * | `routes:<id>:dead-order`  | zset   | seqs of the dead letters                                                 |
 * | `routes:<id>:dead-times`  | zset   | the same by time of death                                                |
 * | **`status:`**             |        | **what brokers and route workers report to the operator**                |
 * | `status:devices`          | hash   | device id → connections and last activity (`activity-digest.ts`), expires |
 * | `status:routes`           | hash   | route id → JSON RouteReport (`route-report.ts`), expires                 |
 * | **`asks:`**               |        | **what brokers ask of the operator** (`asks.ts`)                         |
 * | `asks:open`               | stream | one entry an ask that is not answered yet, bounded                       |
 *
 * Channels: `bus:<name>`, between the processes of a hub. `bus:routes` tells `<partition>/<route id>` of appends;
 * `bus:asks` and `bus:answers` are between brokers and operator.
 */

/** Braces would move the hash tag; `*`, `?`, `[` and `\` would widen an ACL pattern. UUIDs have none of them. */
const HUB_UID = /^[0-9A-Za-z][0-9A-Za-z-]{0,62}$/

/**
 * What every key and channel of a hub starts with. Throws a RangeError on a uid that is not made of letters,
 * digits and hyphens, as it could name the keys of another hub.
 */
export function hubPrefix(uid: string): string {
  if (!HUB_UID.test(uid))
    throw new RangeError(`hub.uid: expected 1 to 63 letters, digits or hyphens, got ${JSON.stringify(uid)}`)
  return `hublet:{${uid}}:`
}

export interface StateKeys {
  version: string
  revision: string
  hub: string
  networks: string
  routes: string
  devices: string
  names: string
  fingerprints: string
  digests: string
  changes: string
}

export function stateKeys(uid: string): StateKeys {
  const prefix = `${hubPrefix(uid)}state:`
  return {
    version: `${prefix}version`,
    revision: `${prefix}revision`,
    hub: `${prefix}hub`,
    networks: `${prefix}networks`,
    routes: `${prefix}routes`,
    devices: `${prefix}devices`,
    names: `${prefix}names`,
    fingerprints: `${prefix}fingerprints`,
    digests: `${prefix}digests`,
    changes: `${prefix}changes`,
  }
}

/** Prefix of the store of a hub; the keys under it are the store's own. */
export function storePrefix(uid: string): string {
  return `${hubPrefix(uid)}store:`
}

/** Prefix of the streams between brokers and route workers. */
export function routesPrefix(uid: string): string {
  return `${hubPrefix(uid)}routes:`
}

/** Prefix of what brokers and route workers report to the operator. */
export function statusPrefix(uid: string): string {
  return `${hubPrefix(uid)}status:`
}

/** The hash of `activity-digest.ts`. */
export function deviceDigestKey(uid: string): string {
  return `${statusPrefix(uid)}devices`
}

/** The hash of `route-report.ts`. */
export function routeReportKey(uid: string): string {
  return `${statusPrefix(uid)}routes`
}

/** Prefix of what brokers ask of the operator. */
export function asksPrefix(uid: string): string {
  return `${hubPrefix(uid)}asks:`
}

/** The stream of `asks.ts`. */
export function openAsksKey(uid: string): string {
  return `${asksPrefix(uid)}open`
}

/** Says that there is a new ask; the message itself says nothing. */
export const asksChannel = (uid: string): string => busChannel(uid, 'asks')

/** Carries answers. */
export const answersChannel = (uid: string): string => busChannel(uid, 'answers')

export function busChannel(uid: string, name: string): string {
  return `${hubPrefix(uid)}bus:${name}`
}

/** Matches every key of a hub and no other, for SCAN. */
export function hubKeyPattern(uid: string): string {
  return `${hubPrefix(uid)}*`
}
