// A person with Chromium: opens an address, logs on at whatever form appears, and looks at the end.
// Arguments: a file of settings, JSON; the address.
import fs from 'node:fs';
import { chromium } from 'playwright-core';

const [settingsFile, address] = process.argv.slice(2);
const settings = JSON.parse(fs.readFileSync(settingsFile, 'utf8'));
const visited = [];

async function logOn(page) {
  // The login, the consent, and one more for good measure.
  for (let step = 0; step < 3; step += 1) {
    const submit = page.locator('form button, form [type=submit]').first();
    if (!(await submit.count())) return;
    for (const name of ['login', 'password']) {
      const field = page.locator(`input[name=${name}]`);
      if (await field.count()) await field.fill(settings[name]);
    }
    await Promise.all([page.waitForEvent('load'), submit.click()]);
  }
}

const browser = await chromium.launch({
  executablePath: settings.chromium,
  headless: true,
  args: ['--disable-dev-shm-usage', ...(settings.root ? ['--no-sandbox'] : [])],
});
const end = { problem: '' };
const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
try {
  page.setDefaultTimeout(20_000);
  page.on('framenavigated', (frame) => visited.push(frame.url().split('?')[0]));
  await page.goto(address);
  await logOn(page);
} catch (error) {
  end.problem = error.message.replaceAll(/\?\S*/g, '?…');
}
end.url = page.url();
end.title = await page.title().catch(() => '');
end.text = await page.locator('body').innerText().catch(() => '');
end.visited = visited;
await page.screenshot({ path: settings.screenshot }).catch(() => undefined);
await browser.close();
// Last, and at once: whoever sees the file finds it whole.
fs.writeFileSync(`${settings.page}.new`, JSON.stringify(end));
fs.renameSync(`${settings.page}.new`, settings.page);
