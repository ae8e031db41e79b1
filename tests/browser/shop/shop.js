// What a frontend of both providers asks for: the recordings in the tests are made of this page.

const shown = document.getElementById('shown');

async function call(url, { method = 'GET', headers = {}, body, ...more } = {}) {
  const json = body === undefined ? {} : { 'content-type': 'application/json' };
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const response = await fetch(url, { method, headers: { ...json, ...headers }, body: sent, ...more });
  const text = await response.text();
  const item = shown.appendChild(document.createElement('li'));
  item.textContent = `${method} ${new URL(response.url).pathname} ${response.status}`;
  return response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : text;
}

async function failing(promise) {
  try {
    await promise;
  } catch (error) {
    return error.name;
  }
  throw new Error('an answer came');
}

async function flexprice({ mock, key, customer }) {
  const headers = { 'x-api-key': key };
  const api = (path, options = {}) => call(`${mock}/v1${path}`, { headers, ...options });
  const post = (path, body) => api(path, { method: 'POST', body });
  const found = await api(`/customers/wallets?lookup_key=${encodeURIComponent(customer)}&include_real_time_balance=true`);
  const known = found[0] ?? found.items[0];
  await api(`/customers/${known.customer_id}/wallets`);
  const wallet = await post('/wallets', {
    customer_id: known.customer_id,
    currency: 'chf',
    name: 'Büro & Reisen',
    metadata: { shop: 'Zürich', note: 'of the "show"' },
    conversion_rate: '2',
  });
  const at = `/wallets/${wallet.id}`;
  await api(at);
  await api(`${at}/balance/real-time`);
  await post(`${at}/top-up`, { credits_to_add: '50', transaction_reason: 'FREE_CREDIT_GRANT', idempotency_key: `${wallet.id}-gift` });
  await post(`${at}/top-up`, { credits_to_add: '12.5', transaction_reason: 'PURCHASED_CREDIT_DIRECT', idempotency_key: `${wallet.id}-1` });
  await post(`${at}/top-up`, { credits_to_add: '12.5', transaction_reason: 'PURCHASED_CREDIT_DIRECT', idempotency_key: `${wallet.id}-1` });
  await post(`${at}/top-up`, { amount: '15', transaction_reason: 'PURCHASED_CREDIT_DIRECT', idempotency_key: `${wallet.id}-2` });
  await api(at, { method: 'PUT', body: { name: 'Reisen', metadata: { shop: 'Bern' } } });
  await api(at);
  await api(`${at}/balance/real-time`);
  await api(`${at}/transactions?limit=2&offset=0`);
  await api(`${at}/transactions?limit=2&offset=2`);
  await post('/wallets/transactions/search', { limit: 2 });
  await post('/wallets/search', { wallet_ids: [wallet.id, known.id], limit: 5 });
  await api(at, { headers: { 'x-api-key': 'invalid-key' } });
  await post(`${at}/terminate`);
  await api(at);
  await api(`${at}/balance/real-time`);
  await post(`${at}/top-up`, { credits_to_add: '1', transaction_reason: 'FREE_CREDIT_GRANT', idempotency_key: `${wallet.id}-late` });
  await failing(api(`/wallets/${known.id}`, { headers: { ...headers, prefer: 'delay=5s' }, signal: AbortSignal.timeout(300) }));
}

async function polar({ mock, token, lapsed, wallet }) {
  const headers = { authorization: `Bearer ${token}` };
  const api = (path, more = {}) => call(`${mock}/v1/customer-portal/wallets${path}`, { headers: { ...headers, ...more } });
  await api('/?limit=2');
  await api('/?page=2&limit=2');
  await api('/?sorting=balance&sorting=created_at');
  await api('?limit=1'); // without its slash: redirected
  await api(`/${wallet}`, { 'polar-version': '2026-04' });
  await api('/9f0c7a44-6a3c-4d5e-8b1a-0123456789ab');
  await api('/', { authorization: `Bearer ${lapsed}` });
}

async function others({ elsewhere, mock }) {
  await fetch('settings.json'); // from the cache
  await call(`${elsewhere}/collect`, { method: 'POST', body: { seen: 'wallets' } });
  await failing(fetch('http://127.0.0.1:9/blocked')); // a port that browsers refuse
  await call(`${mock}/v1/plans`, { headers: { 'x-api-key': 'shop' } }); // of the same host, and of no contract
}

window.story = (async () => {
  const settings = await (await fetch('settings.json')).json();
  await flexprice(settings);
  await polar(settings);
  await others(settings);
  return shown.childElementCount;
})();
