import type { KubeObject, Resource } from '../operator/runtime/resource.ts'

export const CONFIG_MAPS: Resource = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
}

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>
}

/** A kind of the tests' own, with spec, status subresource and generation, as an operator's kinds have. */
export const WIDGETS: Resource = {
  apiVersion: 'runtime.test/v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
}

export interface Widget extends KubeObject {
  spec?: { size?: number }
  status?: Record<string, unknown>
}

const CONDITIONS = {
  type: 'array',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
  items: {
    type: 'object',
    required: ['type'],
    'x-kubernetes-preserve-unknown-fields': true,
    properties: { type: { type: 'string' } },
  },
}

export const WIDGET_CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.runtime.test' },
  spec: {
    group: 'runtime.test',
    scope: 'Namespaced',
    names: { kind: 'Widget', plural: 'widgets', singular: 'widget' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: { type: 'object', properties: { size: { type: 'integer' } } },
              status: {
                type: 'object',
                'x-kubernetes-preserve-unknown-fields': true,
                properties: { conditions: CONDITIONS },
              },
            },
          },
        },
      },
    ],
  },
}
