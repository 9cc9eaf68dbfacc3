/** Devices that nobody has declared (spec §1.7). */
import { Type } from 'typebox'
import { messageFilters, topicList } from './device-filters.ts'
import { Block, Choice, Flag, MapOf, Text, Whole } from './fields.ts'
import { Duration } from './shared-fields.ts'

export const autoProvisioning = Block(
  {
    enabled: Flag({
      default: false,
      description: 'Whether a client whose certificate the device CA signed becomes a Device at first sight.',
    }),
    mode: Choice(['Auto', 'Approve'], {
      default: 'Auto',
      description: 'Auto lets the new device in at once; Approve waits until its spec.approved is true.',
    }),
    perSecond: Whole({
      default: 50,
      minimum: 1,
      maximum: 10_000,
      description: 'New devices a second; a client beyond it is told to come again.',
    }),
    pendingTTL: Duration({
      default: '168h',
      minimum: '1m',
      description:
        'A device that nobody has approved for so long is deleted again; it may make itself known anew.',
    }),
    quarantine: Type.Optional(
      Block(
        {
          publish: topicList('Filters of what it may publish on.'),
          subscribe: topicList('Filters of what it may receive.'),
        },
        {
          description:
            'What a device may do before it is approved: connect with its certificate, use these topics and no ' +
            'others. Left out: it cannot connect before.',
        },
      ),
    ),
    template: Block(
      {
        labels: MapOf(Text({ description: 'Value of the label.', maxLength: 63 }), {
          description: 'Labels of the new Device.',
          maxProperties: 32,
          default: {},
        }),
        annotations: MapOf(Text({ description: 'Value of the annotation.', maxLength: 4096 }), {
          description: 'Annotations of the new Device.',
          maxProperties: 32,
          default: {},
        }),
        allowMultipleConnections: Flag({
          default: false,
          description: 'The field of the same name of the new Device.',
        }),
        messageFilters: messageFilters('The field of the same name of the new Device.'),
      },
      { default: {}, description: 'What the new Device looks like.' },
    ),
  },
  { default: {}, description: 'Devices that make themselves known by a certificate of your own CA.' },
)
