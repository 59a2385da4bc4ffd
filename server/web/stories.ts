// The list of stories: things that a person can let happen to their own throw-away session.

import { make } from './dom.ts'
import { findOffers } from './offers.ts'
import { isGuest } from './pass.ts'
import { tellAway } from './stories/away.ts'
import { tellLostResponse } from './stories/lost-response.ts'
import { tellTheft } from './stories/theft.ts'
import { tellTwoTabs } from './stories/two-tabs.ts'
import { words } from './words.ts'

/** A story: its title, what it is about, and its content that lives until `signal` aborts. */
interface Story {
  name: string
  title: string
  hint: string
  tell(signal: AbortSignal): HTMLElement[]
}

const stories: Story[] = [
  { name: 'lost-response', title: words.lostTitle, hint: words.lostHint, tell: tellLostResponse },
  { name: 'theft', title: words.theftTitle, hint: words.theftHint, tell: tellTheft },
  { name: 'two-tabs', title: words.tabsTitle, hint: words.tabsHint, tell: tellTwoTabs },
  { name: 'away', title: words.awayTitle, hint: words.awayHint, tell: tellAway },
]

/** Makes the panel. It says to people with an account how to see the stories, where they can. */
export function makeStories(signal: AbortSignal): HTMLElement {
  const list = isGuest()
    ? stories.map(({ name, title, hint, tell }) =>
        make(
          'details',
          { name: 'story', testid: `story-${name}` },
          make('summary', { testid: `open-${name}` }, title, make('span', {}, hint)),
          make('div', { class: 'story' }, ...tell(signal)),
        ),
      )
    : [make('p', { class: 'soft' }, words.storiesForGuests)]
  const panel = make(
    'section',
    { class: 'panel stories', 'aria-labelledby': 'stories-title' },
    make('h2', { id: 'stories-title' }, words.stories),
    ...list,
  )
  if (!isGuest()) {
    void findOffers().then(({ trial }) => {
      panel.hidden = !trial
    })
  }
  return panel
}
