// The mock's controls for Playwright, Cypress or any JavaScript test runner: plain fetch, nothing to install.
//
//   import { mockSession } from './mock-controls.mjs';
//
//   test('warns before the wallet is empty', async ({ page, context }) => {
//     const session = await mockSession('http://127.0.0.1:8080');       // private to this test
//     await context.setExtraHTTPHeaders(session.headers);               // the application's requests are in it
//     await session.setClock('frozen:2026-11-21T09:00:00Z');
//     await session.setWallet('healthy', { credit_balance: '3' });
//     await page.goto('/wallet');
//     await expect(page.getByRole('alert')).toContainText('low');
//     await session.setFault({ fault: 'error', code: 503, retry_after: '3s', times: 1 });
//     await page.getByRole('button', { name: 'Top up' }).click();
//     await session.expect('topUpWallet', { times: 2 });                // it tried again
//     await session.delete();
//   });
//
// In Cypress use it from a task (`cy.task`), or replace fetch by cy.request: controls refuse pages of other origins.

export async function mockSession(url, { name, clock, token } = {}) {
  async function call(method, path, body) {
    const headers = { 'content-type': 'application/json', ...(token ? { 'x-control-token': token } : {}) };
    const answer = await fetch(`${url}/_mock${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} /_mock${path}: ${answer.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  const made = await call('POST', '/sessions', { name, clock });
  const base = `/sessions/${made.name}`;
  const wallet = (id) => `${base}/wallets/${encodeURIComponent(id)}`;

  return {
    name: made.name,
    headers: { 'X-Mock-Session': made.name },
    setClock: (to) => call('PUT', `${base}/clock`, { clock: to }),
    advance: (by) => call('POST', `${base}/clock/advance`, { by }),
    wallet: (id) => call('GET', wallet(id)),
    setWallet: (id, fields) => call('PATCH', wallet(id), fields),
    use: (id, amount) => call('POST', `${wallet(id)}/usage`, { amount }),
    setFault: (fault) => call('POST', `${base}/faults`, fault),
    clearFaults: () => call('DELETE', `${base}/faults`),
    startScenario: (scenario) => call('POST', `${base}/scenarios`, { name: scenario }),
    snapshot: (snapshot) => call('PUT', `${base}/snapshots/${snapshot}`),
    restore: (snapshot) => call('POST', `${base}/snapshots/${snapshot}/restore`),
    drainWebhooks: () => call('POST', `${base}/webhooks/drain`),
    reset: () => call('POST', `${base}/reset`),
    delete: () => call('DELETE', base),
    async expect(operation, wanted = { at_least: 1 }) {
      const verdict = await call('POST', `${base}/verify`, { operation, ...wanted });
      if (!verdict.verified) throw new Error(`expected ${verdict.expected} of ${operation}, found ${verdict.count}: ${JSON.stringify(verdict.nearest)}`);
    },
  };
}
