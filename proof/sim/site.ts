// The address of the simulated app, where its servers and its page are.

export const site = 'https://app.example'
