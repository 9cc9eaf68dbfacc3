/** What the data plane counts. Plain numbers: a metrics library's call per message would be the larger cost. */
export class Counters {
  messagesReceived = 0
  messagesDelivered = 0
  /** QoS 0 messages that a receiver was too slow for. */
  droppedSlow = 0
  /** Messages that a full queue lost. */
  droppedQueueFull = 0
  /** Messages that a full buffer of a route lost. */
  droppedRouteFull = 0
  /** Messages that were given to routes, each route counted. */
  messagesRouted = 0
  /** Replies of destinations that were published. */
  routeReplies = 0
  messagesRefused = 0
  connectionsAccepted = 0
  connectionsRefused = 0
  eventsPublished = 0
  eventsSuppressed = 0
  networkRequests = 0
  storeFaults = 0
}
