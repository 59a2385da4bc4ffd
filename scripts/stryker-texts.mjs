// Leaves out mutations of the texts that errors and warnings have for people: no test pins them, and none should.

import { declareValuePlugin, PluginKind } from '@stryker-mutator/api/plugin'

/** The place of the text among the arguments of what makes an error or a warning: `new DaypassError(code, text)`. */
const textAt = {
  DaypassError: 1,
  invalid: 0,
  wrong: 0,
  wrongOption: 2,
  wrongKind: 2,
  requireOptions: 1,
  checkList: 2,
  warn: 1,
}

export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, 'texts', {
    shouldIgnore({ node, parent, listKey, key }) {
      if (node.type !== 'StringLiteral' && node.type !== 'TemplateLiteral') return undefined
      const isText = listKey === 'arguments' && textAt[parent.callee.name] === key
      return isText ? 'words for people' : undefined
    },
  }),
]
