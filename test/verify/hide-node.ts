// Hides Node's modules from `daypass/verify`, as in a browser. It must be imported before anything that verifies.

Reflect.deleteProperty(process, 'getBuiltinModule')
// The fuzz tests make all their texts in a process of their own; here a few are enough.
process.env.FUZZ_RUNS ??= '0.2'
