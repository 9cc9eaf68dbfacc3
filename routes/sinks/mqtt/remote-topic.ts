/** The topic of a message on the other broker. Pure. */

const TOPIC = /\{\{ ?topic ?\}\}/g

export const remoteTopic = (pattern: string, topic: string): string => pattern.replace(TOPIC, () => topic)

/** Whether messages of one route go to several topics. */
export const hasTopic = (pattern: string): boolean => pattern.search(TOPIC) !== -1
