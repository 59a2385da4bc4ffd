// The API report: the public types of every entry, in `api/`, so that a reviewer sees each change of them.
//
// `npm run api` writes it from dist/; `npm run api -- --check` fails where it is not up to date.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'

const root = join(import.meta.dirname, '..')
const check = process.argv.includes('--check')
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const reports = join(root, 'api')
const temporary = mkdtempSync(join(tmpdir(), 'daypass-api-'))
// Sources name their imports `./x.ts`; only what tsc wrote to dist/ is read here, by the tool's own TypeScript.
const tsconfig = {
  compilerOptions: {
    module: 'nodenext',
    target: 'es2023',
    lib: ['es2023', 'dom'],
    types: ['node'],
    skipLibCheck: true,
  },
}
writeFileSync(join(temporary, 'package.json'), '{ "name": "daypass" }')
mkdirSync(reports, { recursive: true })

const changed: string[] = []
try {
  for (const [path, target] of Object.entries<{ types?: string }>(exports)) {
    if (target.types === undefined) continue
    const name = path === '.' ? 'daypass' : path.slice(2)
    const config = ExtractorConfig.prepare({
      configObjectFullPath: undefined,
      packageJsonFullPath: join(root, 'package.json'),
      configObject: {
        projectFolder: root,
        mainEntryPointFilePath: join(root, target.types),
        compiler: { overrideTsconfig: { ...tsconfig, include: [join(root, 'dist')] } },
        apiReport: {
          enabled: true,
          reportFileName: name,
          reportFolder: reports,
          reportTempFolder: temporary,
          includeForgottenExports: true,
        },
        docModel: { enabled: false },
        dtsRollup: { enabled: false },
        tsdocMetadata: { enabled: false },
        messages: {
          extractorMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
          tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
        },
        newlineKind: 'lf',
      },
    })
    const { apiReportChanged } = Extractor.invoke(config, {
      localBuild: !check,
      messageCallback: (message) => {
        if (message.logLevel !== ExtractorLogLevel.Error) message.handled = true
      },
    })
    if (apiReportChanged) changed.push(`api/${name}.api.md`)
  }
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
if (check && changed.length > 0) {
  console.error(`The public types have changed: ${changed.join(', ')}. Run \`npm run api\` and commit the report.`)
  process.exitCode = 1
} else console.log(`API report: ${changed.length} of its files changed.`)
