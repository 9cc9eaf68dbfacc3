import { expect, it } from 'vitest'
import { makeHub } from '../compile/manifests.fixture.ts'
import { brokerDisruptionBudget, brokerNetworkPolicy, brokerServiceAccount } from './pod-guards.ts'

const SELECTOR = {
  'app.kubernetes.io/name': 'hublet',
  'app.kubernetes.io/component': 'broker',
  'iot.hublet.dev/hub': 'home',
}
const metadata = {
  name: 'hub-home',
  namespace: 'farm',
  labels: { ...SELECTOR, 'app.kubernetes.io/part-of': 'hublet', 'app.kubernetes.io/managed-by': 'hublet' },
}

it('the account of the pods has no token', () => {
  expect(brokerServiceAccount(makeHub()).object).toEqual({ metadata, automountServiceAccountToken: false })
})

it('one pod may be drained at a time, and one that is broken always', () => {
  expect(brokerDisruptionBudget(makeHub()).object).toEqual({
    metadata,
    spec: {
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
      selector: { matchLabels: SELECTOR },
    },
  })
})

it('the network policy lets in clients and metrics, and out everywhere but to metadata addresses', () => {
  const off = { enabled: false }
  const listeners = { mqtt: off, ws: off, wss: off, https: off, mqtts: { port: 443 } }
  expect(brokerNetworkPolicy(makeHub({ listeners })).object).toEqual({
    metadata,
    spec: {
      podSelector: { matchLabels: SELECTOR },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        { ports: [{ protocol: 'TCP', port: 8883 }] },
        {
          from: [{ namespaceSelector: {} }],
          ports: [
            { protocol: 'TCP', port: 9090 },
            { protocol: 'TCP', port: 9091 },
          ],
        },
      ],
      egress: [
        {
          to: [
            { namespaceSelector: {} },
            { ipBlock: { cidr: '0.0.0.0/0', except: ['169.254.0.0/16'] } },
            { ipBlock: { cidr: '::/0', except: ['fd00:ec2::/32', 'fe80::/10'] } },
          ],
        },
      ],
    },
  })
})

it('with every listener closed no rule stands for all ports', () => {
  const off = { enabled: false }
  const hub = makeHub({ listeners: { mqtt: off, mqtts: off, ws: off, wss: off, https: off } })
  const { spec } = brokerNetworkPolicy(hub).object as unknown as { spec: { ingress: unknown[] } }
  expect(spec.ingress).toEqual([expect.objectContaining({ from: [{ namespaceSelector: {} }] })])
})
