import { Block, Choice, List, Text } from './fields.ts'
import { FILTER_MAX_LENGTH, filterRules } from './topics.ts'

const topic = Text({
  description:
    'An MQTT topic filter. {{ device.id }}, {{ device.name }}, {{ hub.id }} and {{ hub.name }} are ' +
    'replaced by their values.',
  minLength: 1,
  maxLength: FILTER_MAX_LENGTH,
  rules: filterRules,
})

/** Filters without a policy: only what they match passes. */
export const topicList = (description: string) => List(topic, { default: [], maxItems: 16, description })

const direction = (description: string) =>
  Block(
    {
      policy: Choice(['Accept', 'Reject'], {
        default: 'Reject',
        description: 'Accept: only the listed topics pass. Reject: all but the listed topics pass.',
      }),
      topics: List(topic, {
        default: [],
        maxItems: 100,
        description: 'What the policy is about. Accept and none: nothing passes.',
      }),
    },
    { default: {}, description },
  )

/** The filters of a device, also part of the template for provisioned ones. */
export const messageFilters = (description: string) =>
  Block(
    {
      publish: direction('Topics that the device may publish on, wills included. Others are dropped.'),
      subscribe: direction('Topics that the device may receive. Other subscriptions are refused.'),
    },
    { default: {}, description },
  )
