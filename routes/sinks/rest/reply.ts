/** Decides whether the answer to a request is published, and what about loops. Pure. */
import type { RouteEntry } from '../../../contract/route-stream.ts'
import { topicFault } from '../../../contract/topic.ts'

/** A message that the answer of a destination asks for. */
export interface RouteReply {
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
  contentType?: string
  /** Routes whose answers led to it, oldest first. */
  trail: readonly string[]
}

/** Publishes a reply through the hub's one door; rejects when it could not be taken. */
export type PublishReply = (reply: RouteReply) => Promise<void>

/** Answers to answers to answers: beyond this somebody has built a loop. */
export const MAX_TRAIL = 8

export type ReplyVerdict = { publish: RouteReply } | { refuse: { code: string; message: string } }

interface ReplyAnswer {
  topic: string
  retain: string | undefined
  contentType: string | undefined
  /** Undefined: too long. */
  body: Buffer | undefined
}

export function judgeReply(entry: RouteEntry, routeId: string, answer: ReplyAnswer): ReplyVerdict {
  const refuse = (code: string, message: string) => ({ refuse: { code, message } })
  const trail = entry.trail ?? []
  if (trail.includes(routeId))
    return refuse(
      'REPLY_LOOP',
      'the answer was not published: the message was itself caused by an answer to this route',
    )
  if (trail.length >= MAX_TRAIL)
    return refuse(
      'REPLY_LOOP',
      `the answer was not published: ${MAX_TRAIL} answers led to the message already`,
    )
  const fault = answer.topic.startsWith('$') ? 'begins with $' : topicFault(answer.topic)
  if (fault !== undefined)
    return refuse('REPLY_TOPIC_INVALID', `the answer was not published: the topic in X-Mqtt-Topic ${fault}`)
  if (answer.body === undefined)
    return refuse('REPLY_TOO_LARGE', 'the answer was not published: it is larger than a message may be')
  return {
    publish: {
      topic: answer.topic,
      payload: answer.body,
      qos: 1,
      retain: answer.retain?.toLowerCase() === 'true',
      ...(answer.contentType === undefined ? {} : { contentType: answer.contentType }),
      trail: [...trail, routeId],
    },
  }
}
