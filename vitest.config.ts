import { defineConfig } from 'vitest/config'

// Four projects, which run in the order of their groups. `unit` starts no other program. Those of `system` do
// (mosquitto, databases, whole hublet processes), each on ports and in folders of its own, and wait for them most of
// the time: two files at once, however many cores there are, for a timing is worth little on a machine that is full.
// `cluster` and `node` share one API server: one file after another.

/** Waits that succeed cost no more under a longer limit, and a machine may be busy. */
const patient = { poll: { timeout: 30_000 } }
const TEMPORARY = 'test-support/vitest-temp.ts'

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          expect: patient,
          globalSetup: [TEMPORARY],
          include: ['**/*.test.ts'],
          exclude: ['node_modules/**', '.cache/**', '**/*.{system,cluster,node}.test.ts'],
          testTimeout: 60_000,
          // Else one core of two is left out.
          maxWorkers: '100%',
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'system',
          expect: patient,
          globalSetup: [TEMPORARY],
          sequence: { groupOrder: 2 },
          include: ['**/*.system.test.ts'],
          exclude: ['node_modules/**', '.cache/**'],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          maxWorkers: 2,
        },
      },
      {
        // Against a real kube-apiserver and etcd, started once for all files (`make test-cluster`).
        test: {
          name: 'cluster',
          expect: patient,
          sequence: { groupOrder: 3 },
          include: ['**/*.cluster.test.ts'],
          exclude: ['node_modules/**', '.cache/**'],
          globalSetup: [TEMPORARY, 'e2e/apiserver/vitest-setup.ts'],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          fileParallelism: false,
        },
      },
      {
        // On a node, which `make cluster-up` brings: hubs installed by the chart (`make e2e`).
        test: {
          name: 'node',
          expect: patient,
          sequence: { groupOrder: 4 },
          include: ['**/*.node.test.ts'],
          exclude: ['node_modules/**', '.cache/**'],
          globalSetup: [TEMPORARY, 'e2e/node/vitest-setup.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
