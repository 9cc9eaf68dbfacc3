/** The Kafka topic of a message. Pure. */

const TOPIC = /\{\{ ?topic ?\}\}/g

/** Kafka's own bound. */
const MAX_LENGTH = 249

/**
 * Slashes become dots, and what Kafka does not allow becomes `_`, so two topics may share a Kafka topic. A fault
 * instead when Kafka would take no topic of that name.
 */
export function kafkaTopicOf(pattern: string, topic: string): { name: string } | { fault: string } {
  const name = pattern.replace(TOPIC, () => topic.replaceAll('/', '.').replace(/[^0-9A-Za-z._-]/gu, '_'))
  if (name.length > MAX_LENGTH) return { fault: `the Kafka topic is longer than ${MAX_LENGTH} characters` }
  return name === '.' || name === '..' ? { fault: `Kafka allows no topic ${name}` } : { name }
}

/** Whether messages of one route go to several topics. */
export const isPerTopic = (pattern: string): boolean => pattern.search(TOPIC) !== -1
