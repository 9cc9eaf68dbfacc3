import { defineConfig } from 'vitest/config'

// Three projects: `unit` runs file by file in parallel; `system` starts real servers (mosquitto clients,
// openssl, whole hublet processes), so its files run one after another and never fight for the two cores; nor do
// the projects, which run in the order of their groups.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: ['node_modules/**', '**/*.system.test.ts', '**/*.cluster.test.ts'],
          testTimeout: 20_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'system',
          sequence: { groupOrder: 2 },
          include: ['**/*.system.test.ts'],
          exclude: ['node_modules/**'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        // Against a real kube-apiserver and etcd, started once for all files (`make test-cluster`).
        test: {
          name: 'cluster',
          sequence: { groupOrder: 3 },
          include: ['**/*.cluster.test.ts'],
          exclude: ['node_modules/**'],
          globalSetup: ['e2e/apiserver/vitest-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
