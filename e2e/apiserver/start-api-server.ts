/**
 * A real control plane for tests: etcd and kube-apiserver on loopback, one static administrator token, an
 * audit log to count requests by. No node: nothing runs a pod.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { type RequestOptions, request } from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KubeConfig } from '@kubernetes/client-node'
import { freePort } from '../../test-support/free-port.ts'
import { type ControlPlaneBinaries, findBinaries } from './binaries.ts'

export interface ApiServer {
  kubeConfig: KubeConfig
  /** Lines of JSON, one for each finished request; absent on a cluster that was given. */
  auditLog?: string
  /** For the log line: where the server came from. */
  source: string
  stop(): Promise<void>
}

export interface StartOptions {
  /** Folder of the repository; `.cache/` below it keeps built binaries. */
  root: string
  environment?: Readonly<Record<string, string | undefined>>
  say?: (line: string) => void
  /** ms until `/readyz` must answer. */
  readyTimeoutMs?: number
}

/** Starts, or connects to, an API server (look-up order: KUBECONFIG, then `findBinaries`). */
export async function startApiServer(options: StartOptions): Promise<ApiServer> {
  const environment = options.environment ?? process.env
  const say = options.say ?? ((line) => void process.stderr.write(`api server: ${line}\n`))
  if (environment['KUBECONFIG']) return useGivenCluster(environment)
  const binaries = await findBinaries({
    moduleFolder: path.join(options.root, 'e2e/apiserver'),
    cacheFolder: path.join(options.root, '.cache/control-plane'),
    environment,
    say,
  })
  // A free port can be taken between the look and the bind, so one failed start is tried again.
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startControlPlane(binaries, options.readyTimeoutMs ?? 90_000)
    } catch (error) {
      if (attempt === 3) throw error
      say(`start ${attempt} failed, trying other ports: ${error instanceof Error ? error.message : error}`)
    }
  }
}

/**
 * The tests install CRDs and create hundreds of objects, so a cluster that is not on this machine must be named:
 * a KUBECONFIG that happens to point at production is the accident to prevent.
 */
function useGivenCluster(environment: Readonly<Record<string, string | undefined>>): ApiServer {
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromDefault()
  const context = kubeConfig.getCurrentContext()
  const server = kubeConfig.getCurrentCluster()?.server ?? ''
  const { hostname } = new URL(server)
  const onThisMachine = ['127.0.0.1', 'localhost', '[::1]'].includes(hostname)
  if (!onThisMachine && environment['HUBLET_TEST_CONTEXT'] !== context) {
    throw new Error(
      `KUBECONFIG points at ${server}; the tests would write to it. Set HUBLET_TEST_CONTEXT=${context} to allow that, or unset KUBECONFIG`,
    )
  }
  return { kubeConfig, source: `KUBECONFIG (context ${context})`, stop: async () => {} }
}

interface Running {
  name: string
  child: ChildProcess
  exited: Promise<void>
  log: string
}

async function start(name: string, file: string, args: string[], folder: string): Promise<Running> {
  const log = path.join(folder, `${name}.log`)
  const output = await open(log, 'w')
  const child = spawn(file, args, { stdio: ['ignore', output.fd, output.fd] })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  await output.close()
  // When the test process dies without its teardown, its servers must not outlive it.
  const killNow = () => child.kill('SIGKILL')
  process.once('exit', killNow)
  void exited.then(() => process.off('exit', killNow))
  return { name, child, exited, log }
}

async function stopAll(processes: readonly Running[]): Promise<void> {
  for (const { child, exited } of processes) {
    child.kill('SIGTERM')
    const killer = setTimeout(() => child.kill('SIGKILL'), 5_000)
    await exited
    clearTimeout(killer)
  }
}

const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'ResponseStarted'],
  rules: [{ level: 'Metadata' }],
}

interface Files {
  folder: string
  token: string
  auditPolicy: string
  auditLog: string
  tokens: string
  signingKey: string
  publicKey: string
}

async function writeFiles(): Promise<Files> {
  const folder = await mkdtemp(path.join(tmpdir(), 'hublet-api-server-'))
  const at = (name: string) => path.join(folder, name)
  const files: Files = {
    folder,
    token: randomBytes(24).toString('hex'),
    auditPolicy: at('audit-policy.json'),
    auditLog: at('audit.log'),
    tokens: at('tokens.csv'),
    signingKey: at('service-account.key'),
    publicKey: at('service-account.pub'),
  }
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(files.auditPolicy, JSON.stringify(AUDIT_POLICY))
  await writeFile(files.tokens, `${files.token},test-admin,test-admin,system:masters\n`, { mode: 0o600 })
  await writeFile(files.signingKey, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  await writeFile(files.publicKey, pair.publicKey.export({ type: 'spki', format: 'pem' }))
  await writeFile(files.auditLog, '')
  return files
}

const etcdArgs = (files: Files, client: number, peer: number): string[] => [
  '--name=test',
  `--data-dir=${path.join(files.folder, 'etcd')}`,
  `--listen-client-urls=http://127.0.0.1:${client}`,
  `--advertise-client-urls=http://127.0.0.1:${client}`,
  `--listen-peer-urls=http://127.0.0.1:${peer}`,
  `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
  `--initial-cluster=test=http://127.0.0.1:${peer}`,
  '--unsafe-no-fsync',
  '--log-level=error',
]

const apiServerArgs = (files: Files, etcdPort: number, port: number): string[] => [
  `--etcd-servers=http://127.0.0.1:${etcdPort}`,
  '--bind-address=127.0.0.1',
  '--advertise-address=127.0.0.1',
  `--secure-port=${port}`,
  `--cert-dir=${path.join(files.folder, 'certificates')}`,
  '--service-account-issuer=https://kubernetes.default.svc',
  `--service-account-signing-key-file=${files.signingKey}`,
  `--service-account-key-file=${files.publicKey}`,
  `--token-auth-file=${files.tokens}`,
  '--authorization-mode=Node,RBAC',
  // No controller-manager runs here to create the service accounts that this plug-in asks for.
  '--disable-admission-plugins=ServiceAccount',
  '--service-cluster-ip-range=10.96.0.0/16',
  '--endpoint-reconciler-type=none',
  `--audit-policy-file=${files.auditPolicy}`,
  `--audit-log-path=${files.auditLog}`,
  '--audit-log-format=json',
  '--profiling=false',
]

async function startControlPlane(binaries: ControlPlaneBinaries, readyTimeoutMs: number): Promise<ApiServer> {
  const files = await writeFiles()
  const running: Running[] = []
  const stop = async () => {
    await stopAll([...running].reverse())
    await rm(files.folder, { recursive: true, force: true })
  }
  try {
    const [clientPort, peerPort, port] = [await freePort(), await freePort(), await freePort()]
    running.push(await start('etcd', binaries.etcd, etcdArgs(files, clientPort, peerPort), files.folder))
    const args = apiServerArgs(files, clientPort, port)
    const apiServer = await start('kube-apiserver', binaries.kubeApiserver, args, files.folder)
    running.push(apiServer)
    const server = `https://127.0.0.1:${port}`
    const kubeConfig = await waitReady({ server, files, running, readyTimeoutMs })
    return { kubeConfig, auditLog: files.auditLog, source: binaries.source, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Waiting {
  server: string
  files: Files
  running: readonly Running[]
  readyTimeoutMs: number
}

async function waitReady({ server, files, running, readyTimeoutMs }: Waiting): Promise<KubeConfig> {
  const deadline = performance.now() + readyTimeoutMs
  const certificate = path.join(files.folder, 'certificates/apiserver.crt')
  while (performance.now() < deadline) {
    for (const { name, child, log } of running) {
      if (child.exitCode === null && child.pid !== undefined) continue
      const tail = (await readFile(log, 'utf8')).trim().split('\n').slice(-5).join('\n')
      throw new Error(`${name} ended while starting:\n${tail}`)
    }
    const kubeConfig = await readKubeConfig(server, files.token, certificate)
    if (kubeConfig && (await isReady(kubeConfig))) return kubeConfig
    await sleep(100)
  }
  throw new Error(`the API server was not ready after ${readyTimeoutMs} ms`)
}

/** The self-signed pair appears in the certificate folder while the server starts. */
async function readKubeConfig(server: string, token: string, file: string): Promise<KubeConfig | undefined> {
  const certificate = await readFile(file).catch(() => undefined)
  if (!certificate?.includes('END CERTIFICATE')) return undefined
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromOptions({
    clusters: [{ name: 'test', server, caData: certificate.toString('base64') }],
    users: [{ name: 'test', token }],
    contexts: [{ name: 'test', cluster: 'test', user: 'test' }],
    currentContext: 'test',
  })
  return kubeConfig
}

async function isReady(kubeConfig: KubeConfig): Promise<boolean> {
  const options: RequestOptions = { timeout: 5_000 }
  await kubeConfig.applyToHTTPSOptions(options)
  return new Promise((resolve) => {
    const url = `${kubeConfig.getCurrentCluster()?.server}/readyz`
    const call = request(url, options, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    call.once('timeout', () => call.destroy())
    call.once('error', () => resolve(false))
    call.end()
  })
}
