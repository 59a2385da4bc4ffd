// Which mutations are no question to a test? The words that an error has for people: no test pins them, and none should.

import { declareValuePlugin, PluginKind } from '@stryker-mutator/api/plugin'

/** The place of the text among what makes an error: `new DaypassError(code, text)`, `wrong(text)`. */
const textAt = { DaypassError: 1, invalid: 0, option: 0, wrong: 0 }

export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, 'texts', {
    shouldIgnore({ node, parent, listKey, key }) {
      if (node.type !== 'StringLiteral' && node.type !== 'TemplateLiteral') return undefined
      const isText = listKey === 'arguments' && textAt[parent.callee.name] === key
      return isText ? 'words for people' : undefined
    },
  }),
]
