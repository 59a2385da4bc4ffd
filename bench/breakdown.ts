export async function benchBreakdown(..._: any[]) {}
