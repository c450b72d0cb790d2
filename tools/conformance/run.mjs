// Holds the HTTP response cache against http-cache-tests, the suite behind cache-tests.fyi: see `make conformance`.
//
//     node tools/conformance/run.mjs PACKAGE PYTHON
//
// PACKAGE is the folder of the installed suite, PYTHON an interpreter that finds catzilla_cache, httpx and uvicorn. Starts the suite's own
// origin and, in front of it, examples/python/caching_proxy.py, both on free ports of 127.0.0.1. Prints how many tests of each kind
// pass, and what does not with the reason that reasons.mjs has for it. Fails when something does not pass for no known reason, or passes
// though it has one. What came of each test is left in results.json above PACKAGE, in the form in which cache-tests.fyi takes it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import { createRequire } from 'node:module'
import path from 'node:path'
import readline from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'

import reasons from './reasons.mjs'

// As an operator would have it for these tests: they know Surrogate-Control, and break off to see what is served then.
const PROXY_OPTIONS = ['--targeted', 'Surrogate-Control', '--stale-if-error', '60']
// Far beyond what an answer takes on a slow machine.
const PATIENCE_MS = 120000

const [suite, python] = process.argv.slice(2)
const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')
const work = path.resolve(suite, '../..')
const load = file => import(pathToFileURL(path.resolve(suite, file)))
const fetch = createRequire(path.resolve(suite, 'cli.mjs'))('node-fetch')

const log = fs.openSync(path.join(work, 'log.txt'), 'w')
const print = console.log
// The suite tells there what it is asked that it does not know, such as the state of a test that never began.
console.log = line => fs.writeSync(log, `${line}\n`)

const origin = await startOrigin()
const proxy = await startProxy(`http://127.0.0.1:${origin.address().port}`)
let isAsExpected = false
try {
  const tests = (await load('tests/index.mjs')).default
  tests.push((await load('tests/surrogate-control.mjs')).default)
  const { runTests, getResults } = await load('client/runner.mjs')
  await runTests(tests, (url, init) => fetch(url, { ...init, timeout: PATIENCE_MS }), false, proxy.url)
  const results = getResults()
  fs.writeFileSync(path.join(work, 'results.json'), JSON.stringify(results, null, 2))
  isAsExpected = report(tests, results, (await load('lib/display.mjs')).determineTestResult)
} finally {
  proxy.process.kill()
  await once(proxy.process, 'exit')
  origin.closeAllConnections()
  origin.close()
}
process.exitCode = isAsExpected ? 0 : 1

async function startOrigin () {
  const handlers = {
    config: (await load('server/handle-config.mjs')).default,
    test: (await load('server/handle-test.mjs')).default,
    state: (await load('server/handle-state.mjs')).default
  }
  const server = http.createServer((request, response) => {
    closeAfterwards(response)
    const [, kind, ...rest] = new URL(request.url, 'http://localhost').pathname.split('/')
    if (kind in handlers) return handlers[kind](rest, request, response)
    response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

// Two tests send more than their Content-Length. What is left over must not be read as the beginning of another test's answer, so
// each has a connection of its own, also where a test says something else of it.
function closeAfterwards (response) {
  response.shouldKeepAlive = false
  const setHeader = response.setHeader
  response.setHeader = (name, value) => setHeader.call(response, name, name.toLowerCase() === 'connection' ? `${value}, close` : value)
}

async function startProxy (upstream) {
  const program = path.join(repository, 'examples/python/caching_proxy.py')
  const child = spawn(python, [program, upstream, '--port', '0', ...PROXY_OPTIONS], { stdio: ['ignore', 'pipe', log] })
  for await (const line of readline.createInterface({ input: child.stdout })) {
    return { process: child, url: line.split(' ')[0] }
  }
  throw new Error(`the proxy has not started; ${path.join(work, 'log.txt')} says why`)
}

// Prints what came of the tests. Whether all is as it is known to be.
function report (suites, results, judge) {
  const kinds = new Map(['required', 'optimal', 'check'].map(kind => [kind, { passed: 0, not: 0, browsers: 0 }]))
  const missed = new Map()
  const passed = new Set()
  for (const { id, kind = 'required' } of suites.flatMap(each => each.tests)) {
    const verdict = judge(suites, id, results)[2]
    const count = kinds.get(kind)
    if (verdict === '-') {
      count.browsers++
    } else if (verdict === '✅' || verdict === 'Y') {
      count.passed++
      passed.add(id)
    } else {
      count.not++
      missed.set(id, kind)
    }
  }
  print('kind       pass   do not   are for browsers')
  for (const [kind, count] of kinds) {
    print(`${kind.padEnd(9)} ${String(count.passed).padStart(5)} ${String(count.not).padStart(8)} ${String(count.browsers).padStart(18)}`)
  }
  for (const { why, tests } of reasons) {
    const of = [...kinds.keys()].map(kind => [kind, tests.filter(id => missed.get(id) === kind)])
    const lists = of.filter(([, ids]) => ids.length).map(([kind, ids]) => `${kind}: ${ids.join(', ')}`)
    if (lists.length) print(`\n${why}\n    ${lists.join('\n    ')}`)
  }
  const known = new Set(reasons.flatMap(reason => reason.tests))
  const unknown = [...missed.keys()].filter(id => !known.has(id))
  const outdated = [...known].filter(id => !missed.has(id))
  for (const id of unknown) print(`\nNOT PASSED, and reasons.mjs does not say why (${missed.get(id)}): ${id}: ${results[id]}`)
  for (const id of outdated) print(`\n${passed.has(id) ? 'PASSED' : 'NOT TESTED'}, though reasons.mjs has it: ${id}`)
  return unknown.length === 0 && outdated.length === 0
}
