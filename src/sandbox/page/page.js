// The sandbox's page: a Slack look-alike for one person at a time, over the JSON of /sandbox/*.
//
// How it is laid out, top to bottom:
//   state and small tools → text (emoji, mrkdwn, Markdown) → blocks (Block Kit to DOM) → one message → lists of
//   messages → composer and completion → sidebar and faults → dialogs → server (posts, live events) → navigation.
// Everything a server, a node or a person wrote becomes a text node through `el` or `plain`: there is no innerHTML
// here, so a log line with <script> in it is shown as a log line. `S` is the only state; `paint` brings the page up to it.
'use strict';

// ---------------------------------------------------------------------------------------- state and small tools

const S = {
  team: {}, bot: {}, people: new Map(), channels: new Map(), commands: [], faults: new Map(), nodes: new Map(),
  messages: new Map(), // channel → (ts → message)
  me: null, channel: null, thread: null,
  unread: new Set(), // channels, and `channel/ts` for threads
  pressed: new Set(), openFiles: new Set(), faultsOpen: false, drawerOpen: false, widened: false, loaded: false, early: [], askedAt: 0,
};
const GROUPS = { slack: 'Slack', nodes: 'Nodes', ec2: 'EC2', builder: 'Builder', datastore: 'Datastore', pagerduty: 'PagerDuty' };
const GROUP_GAP_S = 300; // messages of one person within five minutes share a header, as in Slack
const TOAST_MS = 7000;
const RECONNECT_MS = 2000;
const VIEW_WAIT_MS = 10_000;

const $ = (id) => document.getElementById(id);

/** Makes an element; strings among the children become text nodes, never markup. */
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === 'data') Object.assign(node.dataset, value);
    else if (key === 'on') for (const [name, run] of Object.entries(value)) node.addEventListener(name, run);
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

const me = () => S.people.get(S.me) ?? {};
const isPhone = () => matchMedia('(max-width: 759px)').matches;
const remember = (store, key, value) => { try { store.setItem(`habops-${key}`, value); } catch { /* private window */ } };
const recall = (store, key) => { try { return store.getItem(`habops-${key}`); } catch { return null; } };

function personOf(id) {
  const bot = id === S.bot.user_id || id === S.bot.bot_id;
  const person = S.people.get(id) ?? S.people.get(S.bot.user_id && bot ? S.bot.user_id : '');
  const name = bot ? S.bot.name : person?.name ?? (id === 'USLACKBOT' ? 'Slackbot' : id ?? 'somebody');
  return { id, bot: bot || person?.kind === 'bot', name, shown: bot ? S.bot.name : person?.real_name || name, title: person?.title ?? '', color: person?.color };
}

function avatar(who, small) {
  const initials = who.shown.split(/[\s_-]+/).filter(Boolean).slice(0, 2).map((word) => [...word][0].toUpperCase()).join('');
  const node = el('span', { class: small ? 'avatar small' : 'avatar', 'aria-hidden': 'true' }, who.bot ? '›_' : initials || '?');
  const hue = [...(who.id ?? '')].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  const color = /^#[0-9a-f]{3,8}$/i.test(who.color ?? '') ? who.color : `hsl(${hue} 45% 42%)`;
  node.style.backgroundColor = who.bot ? '#1d3557' : color;
  return node;
}

const formats = new Map();
function inZone(date, zone, options) {
  const key = `${zone} ${JSON.stringify(options)}`;
  if (!formats.has(key)) {
    try { formats.set(key, new Intl.DateTimeFormat('en-GB', { ...options, timeZone: zone, hourCycle: 'h23' })); }
    catch { formats.set(key, new Intl.DateTimeFormat('en-GB', { ...options, hourCycle: 'h23' })); }
  }
  return formats.get(key).format(date);
}
const CLOCK = { hour: '2-digit', minute: '2-digit' };
const CLOCK_S = { ...CLOCK, second: '2-digit' };
const FULL = { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric', ...CLOCK_S };
const zone = () => me().tz || undefined;
const dateOf = (ts) => new Date(Number(ts) * 1000);
const dayOf = (date) => inZone(date, zone(), { year: 'numeric', month: '2-digit', day: '2-digit' });

/** Local time, with the full local time and UTC on hover: people in an incident compare both. */
function timeOf(ts, shown) {
  const date = dateOf(ts);
  const title = `${inZone(date, zone(), FULL)} ${zone() ?? 'local'}\n${inZone(date, 'UTC', FULL)} UTC`;
  return el('time', { datetime: date.toISOString(), title }, shown ?? inZone(date, zone(), CLOCK));
}

function dayName(date) {
  const day = dayOf(date);
  if (day === dayOf(new Date())) return 'Today';
  if (day === dayOf(new Date(Date.now() - 86_400_000))) return 'Yesterday';
  return inZone(date, zone(), { weekday: 'long', day: 'numeric', month: 'long' });
}

// ---------------------------------------------------------------------------------------- text

const EMOJI = Object.fromEntries(`white_check_mark ✅ heavy_check_mark ✔️ x ❌ warning ⚠️ hourglass ⌛ hourglass_flowing_sand ⏳ rotating_light 🚨
pushpin 📌 round_pushpin 📍 eyes 👀 information_source ℹ️ lock 🔒 unlock 🔓 key 🔑 large_green_circle 🟢 red_circle 🔴 large_red_circle 🔴 large_yellow_circle 🟡
large_orange_circle 🟠 large_blue_circle 🔵 white_circle ⚪ black_circle ⚫ snowflake ❄️ ice_cube 🧊 link 🔗 memo 📝 page_facing_up 📄 clipboard 📋 bell 🔔 no_bell 🔕 no_entry ⛔
no_entry_sign 🚫 octagonal_sign 🛑 arrow_right ➡️ arrow_left ⬅️ arrow_up ⬆️ arrow_down ⬇️ arrows_counterclockwise 🔄 repeat 🔁 checkered_flag 🏁 fire 🔥 wrench 🔧 gear ⚙️
tada 🎉 wave 👋 thumbsup 👍 +1 👍 -1 👎 thumbsdown 👎 pray 🙏 bulb 💡 mag 🔍 zap ⚡ bug 🐛 package 📦 rocket 🚀 robot_face 🤖 speech_balloon 💬 stopwatch ⏱️ clock1 🕐 alarm_clock ⏰
calendar 📅 question ❓ grey_question ❔ exclamation ❗ construction 🚧 ghost 👻 skull 💀 shrug 🤷 handshake 🤝 telephone_receiver 📞 pager 📟 thread 🧵 raised_hand ✋ black_square_for_stop ⏹️
double_vertical_bar ⏸️ arrow_forward ▶️ heavy_minus_sign ➖ heavy_plus_sign ➕ bar_chart 📊 chart_with_upwards_trend 📈 file_folder 📁 floppy_disk 💾 satellite_antenna 📡 electric_plug 🔌`
  .split(/\s+/).reduce((pairs, word, at, all) => (at % 2 ? pairs : [...pairs, [word, all[at + 1]]]), []));

const decode = (text) => text.replace(/&(amp|lt|gt);/g, (_, name) => ({ amp: '&', lt: '<', gt: '>' })[name]);

function emoji(name, unicode) {
  const shown = EMOJI[name] ?? (unicode ? unicode.split('-').map((code) => String.fromCodePoint(parseInt(code, 16))).join('') : null);
  return shown ? el('span', { class: 'emoji', role: 'img', 'aria-label': name.replaceAll('_', ' '), title: `:${name}:` }, shown) : `:${name}:`;
}

/** Text as it is, but for :emoji: names. */
function plain(text) {
  return String(text ?? '').split(/(:[a-z0-9_+'-]+:)/).map((part, at) => (at % 2 ? emoji(part.slice(1, -1)) : part));
}

function userMention(id, label) {
  const who = personOf(id);
  return el('span', { class: id === S.me ? 'mention mine' : 'mention', title: who.title || who.shown }, `@${S.people.has(id) || id === S.bot.user_id ? who.name : label || id}`);
}

function channelMention(id, label) {
  const channel = S.channels.get(id);
  return el('a', { class: 'mention', href: `#${id}`, on: { click: (event) => { event.preventDefault(); jump(id); } } }, `#${channel?.name ?? (label || id)}`);
}

const ping = (range) => el('span', { class: 'ping', title: 'This notifies everybody' }, `@${range}`);

const LINKABLE = /^(https?:\/\/|mailto:|\/(sandbox|archives)\/)/i;

/** A link. Only the web, mail and this sandbox may be linked; a permalink jumps inside the page. */
function link(url, label) {
  const permalink = /\/archives\/([CDG][A-Z0-9]+)\/p(\d{10})(\d{6})/.exec(url);
  if (permalink) {
    const [, channel, seconds, rest] = permalink;
    const go = (event) => { event.preventDefault(); jump(channel, `${seconds}.${rest}`); };
    return el('a', { href: `#${channel}/${seconds}.${rest}`, data: { testid: 'permalink' }, on: { click: go } }, label || 'message');
  }
  if (!LINKABLE.test(url)) return label ? `${label} (${url})` : url;
  return el('a', { href: url, target: '_blank', rel: 'noopener noreferrer' }, label || url.replace(/^mailto:/, ''));
}

function dateToken(seconds, format, url, fallback) {
  const date = dateOf(seconds);
  if (Number.isNaN(date.getTime())) return decode(fallback ?? '');
  const say = (options) => inZone(date, zone(), options);
  const month = { day: 'numeric', month: 'short', year: 'numeric' };
  const pretty = (options) => (/^(Today|Yesterday)$/.test(dayName(date)) ? dayName(date).toLowerCase() : say(options));
  const known = {
    time: () => say(CLOCK), time_secs: () => say(CLOCK_S), date_num: () => date.toISOString().slice(0, 10),
    date: () => say({ ...month, month: 'long' }), date_long: () => say({ ...month, month: 'long', weekday: 'long' }), date_short: () => say(month),
    date_pretty: () => pretty({ ...month, month: 'long' }), date_long_pretty: () => pretty({ ...month, month: 'long', weekday: 'long' }),
    date_short_pretty: () => pretty(month), ago: () => ago(date),
  };
  const text = decode(format).replace(/\{(\w+)\}/g, (whole, name) => known[name]?.() ?? whole);
  const time = timeOf(seconds, text);
  return LINKABLE.test(url ?? '') ? el('a', { href: decode(url), target: '_blank', rel: 'noopener noreferrer' }, time) : time;
}

function ago(date) {
  const minutes = Math.round((Date.now() - date) / 60_000);
  const [amount, unit] = Math.abs(minutes) < 60 ? [minutes, 'minute'] : Math.abs(minutes) < 1440 ? [Math.round(minutes / 60), 'hour'] : [Math.round(minutes / 1440), 'day'];
  return new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(-amount, unit);
}

/** What stands between < and > in mrkdwn; what is none of Slack's own is shown as it was written. */
function angled(token) {
  const [head, ...rest] = token.split('|');
  const label = rest.length ? decode(rest.join('|')) : '';
  if (/^@[UW]\w+$/.test(head)) return userMention(head.slice(1), label);
  if (/^#[CG]\w+$/.test(head)) return channelMention(head.slice(1), label);
  if (/^!(channel|here|everyone)$/.test(head)) return ping(head.slice(1));
  if (head.startsWith('!subteam^')) return el('span', { class: 'mention' }, label || `@${head.slice(9)}`);
  if (head.startsWith('!date^')) { const [, seconds, format, url] = head.split('^'); return dateToken(seconds, format ?? '', url, label); }
  if (LINKABLE.test(head)) return link(decode(head), label);
  return decode(`<${token}>`);
}

const INLINE = new RegExp([
  '`([^`\\n]+)`', '<([^<>\\n]+)>',
  ...['\\*', '_', '~'].map((mark) => `(?<![\\p{L}\\p{N}${mark}])${mark}(\\S|\\S[^\\n]*?\\S)${mark}(?![\\p{L}\\p{N}${mark}])`),
  ":([a-z0-9_+'-]+):",
].join('|'), 'gu');

function inline(text) {
  const out = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, code, token, bold, italic, strike, name] = found;
    if (name && !EMOJI[name]) continue;
    out.push(decode(text.slice(from, found.index)));
    from = found.index + whole.length;
    if (code) out.push(el('code', {}, references(code)));
    else if (token) out.push(angled(token));
    else if (bold) out.push(el('strong', {}, inline(bold)));
    else if (italic) out.push(el('em', {}, inline(italic)));
    else if (strike) out.push(el('s', {}, inline(strike)));
    else out.push(emoji(name));
  }
  out.push(decode(text.slice(from)));
  return out;
}

/** Inside code Slack still follows <…>: so a missing escape shows here as well. */
const references = (text) => text.split(/(<[^<>\n]+>)/).map((part, at) => (at % 2 ? angled(part.slice(1, -1)) : decode(part)));

function quoteRuns(text) {
  const runs = [];
  for (const line of text.split('\n')) {
    const quote = /^(?:&gt;|>) ?/.exec(line);
    const words = quote ? line.slice(quote[0].length) : line;
    const last = runs.at(-1);
    if (last && last.quote === Boolean(quote)) last.lines.push(words);
    else runs.push({ quote: Boolean(quote), lines: [words] });
  }
  return runs.map((run) => (run.quote ? el('blockquote', {}, inline(run.lines.join('\n'))) : el('span', {}, inline(run.lines.join('\n')))));
}

function mrkdwn(text) {
  const parts = String(text ?? '').split('```');
  const open = parts.length % 2 === 0 ? parts.length - 1 : -1; // an unclosed fence is text
  return parts.map((part, at) => {
    if (at === open) return quoteRuns(`\`\`\`${part}`);
    if (at % 2) return el('pre', {}, references(part.replace(/^\n|\n$/g, '')));
    const trimmed = part.replace(at > 0 ? /^\n/ : /^$/, '').replace(at < parts.length - 1 && at + 1 !== open ? /\n$/ : /^$/, '');
    return trimmed ? quoteRuns(trimmed) : null;
  });
}

const textObject = (text) => (text?.type === 'mrkdwn' ? mrkdwn(text.text) : plain(text?.text));

const MD_INLINE = /`([^`\n]+)`|\*\*(.+?)\*\*|\[([^\]\n]+)\]\(([^)\s]+)\)|(?<!\w)[*_](\S|\S[^\n]*?\S)[*_](?!\w)|~~(.+?)~~/g;
function mdInline(text) {
  const out = [];
  let from = 0;
  for (const found of text.matchAll(MD_INLINE)) {
    const [whole, code, bold, label, url, italic, strike] = found;
    out.push(plain(text.slice(from, found.index)));
    from = found.index + whole.length;
    if (code) out.push(el('code', {}, code));
    else if (url) out.push(link(url, label));
    else out.push(el(bold ? 'strong' : italic ? 'em' : 's', {}, mdInline(bold ?? italic ?? strike)));
  }
  out.push(plain(text.slice(from)));
  return out;
}

/** The `markdown` block: fences, headings, lists, quotes and paragraphs. */
function markdown(text) {
  return String(text ?? '').split(/^```[^\n]*$/m).map((part, at) => {
    if (at % 2) return el('pre', {}, part.replace(/^\n|\n$/g, ''));
    return part.split('\n').filter((line) => line.trim()).map((line) => {
      const [, heading, bullet, number, quote] = /^(#{1,6})\s+|^\s*([-*+])\s+|^\s*(\d+)\.\s+|^(>)\s?/.exec(line) ?? [];
      const words = mdInline(line.replace(/^(#{1,6}\s+|\s*[-*+]\s+|\s*\d+\.\s+|>\s?)/, ''));
      if (heading) return el('p', { class: 'md-heading' }, words);
      if (bullet || number) return el('p', { class: 'md-item' }, el('span', { class: 'md-mark' }, number ? `${number}.` : '•'), el('span', {}, words));
      return el(quote ? 'blockquote' : 'p', {}, words);
    });
  });
}

// ---------------------------------------------------------------------------------------- blocks

function styled(node, style = {}) {
  const tags = { bold: 'strong', italic: 'em', strike: 's', code: 'code' };
  return Object.keys(tags).reduce((inner, name) => (style[name] ? el(tags[name], {}, inner) : inner), node);
}

function richPiece(piece) {
  switch (piece.type) {
    case 'text': return styled(piece.text ?? '', piece.style);
    case 'link': return styled(link(piece.url ?? '', piece.text), piece.style);
    case 'user': return styled(userMention(piece.user_id), piece.style);
    case 'usergroup': return el('span', { class: 'mention' }, `@${piece.usergroup_id}`);
    case 'channel': return channelMention(piece.channel_id);
    case 'emoji': return emoji(piece.name ?? '', piece.unicode);
    case 'broadcast': return ping(piece.range);
    case 'date': return dateToken(piece.timestamp, piece.format ?? '', piece.url, piece.fallback);
    default: return richElement(piece);
  }
}

function richElement(element) {
  const inner = () => (element.elements ?? []).map(richPiece);
  switch (element.type) {
    case 'rich_text_section': return el('span', { class: 'rich' }, inner());
    case 'rich_text_quote': return el('blockquote', {}, inner());
    case 'rich_text_preformatted': return el('pre', { tabindex: '0', 'aria-label': 'Output' }, inner());
    case 'rich_text_list': {
      const list = el(element.style === 'ordered' ? 'ol' : 'ul', { class: 'rich-list', start: element.offset ? element.offset + 1 : null }, (element.elements ?? []).map((item) => el('li', {}, richElement(item))));
      list.style.marginInlineStart = `${(element.indent ?? 0) * 1.5}em`;
      return list;
    }
    default: return el('span', { class: 'unknown' }, element.text ?? `(${element.type})`);
  }
}

function tableCell(cell) {
  if (cell?.type === 'rich_text') return (cell.elements ?? []).map(richElement);
  return String(cell?.text ?? cell?.value ?? '');
}

function tableBlock(block) {
  const [head = [], ...rows] = block.rows ?? [];
  const settings = block.column_settings ?? [];
  const shape = (column) => [settings[column]?.align && `align-${settings[column].align}`, settings[column]?.is_wrapped && 'wrapped'].filter(Boolean).join(' ') || null;
  const row = (cells, tag) => el('tr', {}, cells.map((cell, column) => el(tag, { class: shape(column), scope: tag === 'th' ? 'col' : null }, tableCell(cell))));
  const table = el('table', { data: { testid: 'table' } }, el('thead', {}, row(head, 'th')), el('tbody', {}, rows.map((cells) => row(cells, 'td'))));
  return el('div', { class: 'table-scroll', tabindex: '0', role: 'region', 'aria-label': 'Table' }, table);
}

function control(element, where) {
  const key = [where.ts, where.block_id, element.action_id].join('|');
  const shared = { data: { testid: 'button', actionId: element.action_id ?? '', key }, 'aria-busy': S.pressed.has(key) ? 'true' : null };
  if (element.type === 'static_select' || element.type === 'overflow') return selectControl(element, where, shared);
  if (element.type === 'image') return imageText(element);
  if (element.type !== 'button') return el('span', { class: 'unknown' }, `(${element.type}: not shown by this page)`);
  const look = { class: `btn ${element.style ?? ''}`, 'aria-label': element.accessibility_label };
  if (element.url) {
    const anchor = link(element.url, element.text?.text);
    if (typeof anchor === 'string') return anchor;
    anchor.className = 'btn';
    Object.assign(anchor.dataset, shared.data);
    anchor.addEventListener('click', () => press(element, where, key, {}));
    return anchor;
  }
  const run = () => press(element, where, key, { value: element.value });
  return el('button', { type: 'button', ...look, ...shared, on: { click: run } }, plain(element.text?.text));
}

function optionNodes(element) {
  const options = (list) => (list ?? []).map((option) => el('option', { value: option.value }, option.text?.text ?? option.value));
  if (element.option_groups) return element.option_groups.map((group) => el('optgroup', { label: group.label?.text ?? '' }, options(group.options)));
  return options(element.options);
}

const optionOf = (element, value) => [...(element.options ?? []), ...(element.option_groups ?? []).flatMap((group) => group.options)].find((option) => option.value === value);

function selectControl(element, where, shared) {
  const label = element.placeholder?.text ?? (element.type === 'overflow' ? 'More…' : 'Choose…');
  const node = el('select', { class: 'btn', 'aria-label': label, ...shared }, el('option', { value: '' }, label), optionNodes(element));
  node.value = element.initial_option?.value ?? '';
  node.addEventListener('change', async () => {
    const option = optionOf(element, node.value);
    if (option) await press(element, where, shared.data.key, { option: option.value });
    if (!element.initial_option) node.value = '';
  });
  return node;
}

const imageText = (block) => el('span', { class: 'image-alt' }, `🖼 ${block.alt_text ?? block.title?.text ?? 'image'}`);

const BLOCKS = {
  header: (block) => el('h3', { class: 'b-header' }, plain(block.text?.text)),
  divider: () => el('hr'),
  image: (block) => el('p', {}, imageText(block)),
  markdown: (block) => el('div', { class: 'b-markdown' }, markdown(block.text)),
  rich_text: (block) => el('div', { class: 'b-rich' }, (block.elements ?? []).map(richElement)),
  table: tableBlock,
  context: (block) => el('div', { class: 'b-context' }, (block.elements ?? []).map((part) => el('span', {}, part.type === 'image' ? imageText(part) : textObject(part)))),
  actions: (block, where) => el('div', { class: 'b-actions' }, (block.elements ?? []).map((element) => control(element, where))),
  section: (block, where) => el('div', { class: 'b-section' },
    el('div', { class: 'b-section-words' },
      block.text && el('div', {}, textObject(block.text)),
      block.fields && el('div', { class: 'b-fields' }, block.fields.map((field) => el('div', {}, textObject(field))))),
    block.accessory && el('div', { class: 'b-accessory' }, control(block.accessory, where))),
  input: inputBlock,
};

/** `where` says which message or view a control belongs to. */
function blocksOf(blocks, where) {
  return blocks.map((block) => {
    const make = BLOCKS[block.type] ?? (() => el('p', { class: 'unknown' }, `(a block of type ${block.type}, which this page does not show)`));
    return make(block, { ...where, block_id: block.block_id ?? '' });
  });
}

function inputBlock(block) {
  const element = block.element ?? {};
  const id = `in-${block.block_id}-${element.action_id}`;
  const shared = { id, class: 'field', required: !block.optional, placeholder: element.placeholder?.text, data: { blockId: block.block_id ?? '', actionId: element.action_id ?? '', testid: 'input' } };
  let node;
  if (element.type === 'static_select') {
    node = el('select', { ...shared, placeholder: null }, el('option', { value: '' }, element.placeholder?.text ?? 'Choose…'), optionNodes(element));
    node.value = element.initial_option?.value ?? '';
  } else if (element.type === 'plain_text_input') {
    node = el(element.multiline ? 'textarea' : 'input', { ...shared, rows: element.multiline ? 4 : null, maxlength: element.max_length, autocomplete: 'off' });
    node.value = element.initial_value ?? '';
  } else node = el('span', { class: 'unknown' }, `(${element.type}: not shown by this page)`);
  return el('div', { class: 'b-input' }, el('label', { for: id }, plain(block.label?.text), block.optional && el('small', {}, ' (optional)')), node,
    el('p', { class: 'field-error', role: 'alert', data: { errorFor: block.block_id ?? '' } }), block.hint && el('small', {}, plain(block.hint.text)));
}

/** A click on a control: shown as pressed until Slack (the sandbox) has the bot's ack. */
async function press(element, where, key, choice) {
  if (S.pressed.has(key)) return;
  if (element.confirm && !(await askConfirm(element.confirm))) return;
  const mark = (on) => {
    if (on) S.pressed.add(key); else S.pressed.delete(key);
    for (const node of document.querySelectorAll('[data-key]')) {
      if (node.dataset.key !== key) continue;
      if (on) node.setAttribute('aria-busy', 'true'); else node.removeAttribute('aria-busy');
    }
  };
  mark(true);
  const { ts, ...place } = where;
  const answer = await post('/sandbox/click', { person: S.me, ...place, message_ts: ts, action_id: element.action_id, ...choice });
  mark(false);
  if (!answer.ok) toast(`The click was not taken: ${answer.error}`);
}

// ---------------------------------------------------------------------------------------- one message

function fileNode(file) {
  const lines = String(file.preview ?? '').replace(/\n$/, '').split('\n');
  const open = S.openFiles.has(file.id);
  const size = file.size >= 1024 ? `${(file.size / 1024).toFixed(file.size < 10_240 ? 1 : 0)} KB` : `${file.size ?? 0} bytes`;
  const href = link(file.url_private ?? '', 'Open');
  const body = el('pre', { class: open ? 'preview' : 'preview short', tabindex: '0', 'aria-label': `Start of ${file.name}` }, lines.join('\n'));
  const more = lines.length > 5 && el('button', { type: 'button', class: 'quiet', 'aria-expanded': String(open), on: { click: () => {
    const now = !S.openFiles.delete(file.id);
    if (now) S.openFiles.add(file.id);
    body.classList.toggle('short', !now);
    more.setAttribute('aria-expanded', String(now));
    more.textContent = now ? 'Show less' : 'Show more';
  } } }, open ? 'Show less' : 'Show more');
  return el('figure', { class: 'file', data: { testid: 'file' } },
    el('figcaption', {}, icon('file'), el('span', { class: 'file-name' }, el('b', {}, file.title || file.name), el('small', {}, `${file.name} · ${size}`)), href),
    file.preview && body, file.preview && more);
}

function reactionNodes(msg) {
  if (!msg.reactions?.length) return null;
  return el('div', { class: 'reactions' }, msg.reactions.map((reaction) => el('button', {
    type: 'button', class: reaction.users?.includes(S.me) ? 'reaction mine' : 'reaction', 'aria-label': `${reaction.name}, ${reaction.users?.length ?? 1}`,
    title: (reaction.users ?? []).map((id) => personOf(id).shown).join(', '), on: { click: () => react(msg, reaction.name) },
  }, emoji(reaction.name), ` ${reaction.users?.length ?? reaction.count ?? 1}`)));
}

function repliesNode(msg, replies) {
  const users = [...new Set(replies.list.map((reply) => reply.user ?? reply.bot_id))].slice(0, 3);
  const fresh = S.unread.has(`${msg.channel}/${msg.ts}`);
  return el('button', { type: 'button', class: fresh ? 'replies fresh' : 'replies', data: { testid: 'replies' }, on: { click: () => openThread(msg.ts) } },
    users.map((id) => avatar(personOf(id), true)), el('b', {}, `${replies.count} ${replies.count === 1 ? 'reply' : 'replies'}`),
    replies.last && el('small', {}, 'last ', timeOf(replies.last)), fresh && el('span', { class: 'dot', title: 'New replies' }));
}

function contentOf(msg) {
  const where = { channel: msg.channel, ts: msg.ts, thread_ts: msg.thread_ts };
  const edited = msg.edited && el('span', { class: 'edited', title: `Edited ${inZone(dateOf(msg.edited.ts), 'UTC', FULL)} UTC` }, '(edited)');
  if (msg.blocks?.length) return el('div', { class: 'content' }, blocksOf(msg.blocks, where), edited);
  return el('div', { class: 'content text' }, mrkdwn(msg.text), edited && ' ', edited);
}

function messageNode(msg, { compact, replies, inThread }) {
  const who = personOf(msg.user ?? msg.bot_id);
  if (msg.bot_id) who.bot = true;
  const classes = ['message', compact && 'compact', msg.ephemeral_to && 'ephemeral', msg.pinned && 'pinned', msg.pending && 'pending', /^(channel|group)_/.test(msg.subtype ?? '') && 'system'];
  return el('article', { class: classes.filter(Boolean).join(' '), tabindex: '-1', 'aria-label': `${who.shown}, ${inZone(dateOf(msg.ts), zone(), CLOCK)}`, 'aria-live': msg.edited ? 'off' : null,
    data: { testid: 'message', ts: msg.ts, channel: msg.channel, user: msg.user ?? msg.bot_id ?? '' } },
  msg.pinned && el('p', { class: 'note pin-note' }, icon('pin'), 'Pinned'),
  msg.ephemeral_to && el('p', { class: 'note' }, icon('eye'), 'Only visible to you'),
  msg.subtype === 'thread_broadcast' && !inThread && el('p', { class: 'note' }, 'replied to ', el('button', { type: 'button', class: 'quiet', on: { click: () => openThread(msg.thread_ts) } }, 'a thread')),
  el('div', { class: 'gutter' }, compact ? timeOf(msg.ts) : avatar(who)),
  el('div', { class: 'body' },
    !compact && el('div', { class: 'byline' }, el('b', {}, who.shown), who.bot && el('span', { class: 'badge' }, 'APP'), timeOf(msg.ts)),
    contentOf(msg), (msg.files ?? []).map(fileNode), reactionNodes(msg),
    replies?.count > 0 && !inThread && repliesNode(msg, replies)));
}

/** One toolbar for all messages: it moves to the one under the pointer or the focus. */
const toolbar = el('div', { class: 'toolbar', role: 'toolbar', 'aria-label': 'Message', data: { testid: 'message-menu' } });

function showToolbar(article) {
  const msg = article && messageAt(article.dataset.channel, article.dataset.ts);
  if (!msg || msg.ephemeral_to || toolbar.parentNode === article) return;
  const item = (name, label, run, shown) => el('button', { type: 'button', 'aria-label': label, title: label, data: { testid: `menu-${name}` }, on: { click: run } }, shown ?? icon(name));
  toolbar.replaceChildren(
    item('thread', 'Reply in thread', () => openThread(msg.thread_ts ?? msg.ts, true)),
    item('habops', 'habops on this message', () => shortcut(msg, 'habops_message'), el('span', { class: 'glyph' }, '›_')),
    item('keep', 'Keep on the timeline', () => shortcut(msg, 'habops_keep'), el('span', { class: 'glyph' }, '≡')),
    item('pushpin', 'Add :pushpin:', () => react(msg, 'pushpin'), icon('pin')),
    item('link', 'Copy link', () => copyLink(msg)));
  article.append(toolbar);
}

async function react(msg, name) {
  const answer = await post('/sandbox/react', { person: S.me, channel: msg.channel, message_ts: msg.ts, name });
  if (!answer.ok) toast(`The reaction was not taken: ${answer.error}`);
}

async function shortcut(msg, callback) {
  const answer = await post('/sandbox/shortcut', { person: S.me, channel: msg.channel, message_ts: msg.ts, callback_id: callback });
  if (!answer.ok) toast(`The shortcut was not taken: ${answer.error}`);
}

async function copyLink(msg) {
  const url = `${location.origin}/archives/${msg.channel}/p${msg.ts.replace('.', '')}`;
  try { await navigator.clipboard.writeText(url); toast('The link is copied.'); } catch { toast(url); }
}

// ---------------------------------------------------------------------------------------- lists of messages

const messageAt = (channel, ts) => S.messages.get(channel)?.get(ts);
const isReply = (msg) => Boolean(msg.thread_ts) && msg.thread_ts !== msg.ts;
const inOrder = (a, b) => (a.ts < b.ts ? -1 : a.ts > b.ts ? 1 : 0);

function visible(channel) {
  return [...(S.messages.get(channel)?.values() ?? [])].filter((msg) => !msg.ephemeral_to || msg.ephemeral_to === S.me).sort(inOrder);
}

/** Replies by thread: counted here, so that the link is right also before the root's own count is. */
function repliesByRoot(list) {
  const threads = new Map();
  for (const msg of list) {
    if (!isReply(msg) || msg.ephemeral_to) continue;
    if (!threads.has(msg.thread_ts)) threads.set(msg.thread_ts, []);
    threads.get(msg.thread_ts).push(msg);
  }
  return (msg) => {
    const replies = threads.get(msg.ts) ?? [];
    return { list: replies, count: Math.max(replies.length, msg.reply_count ?? 0), last: replies.at(-1)?.ts ?? msg.latest_reply };
  };
}

const identities = new WeakMap();
let identity = 0;
function identityOf(msg) {
  if (!identities.has(msg)) identities.set(msg, ++identity);
  return identities.get(msg);
}

function follows(msg, before) {
  return before && (before.user ?? before.bot_id) === (msg.user ?? msg.bot_id) && !before.ephemeral_to === !msg.ephemeral_to && !msg.pinned && msg.subtype === before.subtype
    && Number(msg.ts) - Number(before.ts) < GROUP_GAP_S && dayOf(dateOf(msg.ts)) === dayOf(dateOf(before.ts));
}

/** What a list should hold: day dividers and messages, each with a key and what it looks like. */
function rowsOf(list, inThread) {
  const replies = repliesByRoot(visible(S.channel));
  const rows = [];
  list.forEach((msg, at) => {
    const before = list[at - 1];
    const date = dateOf(msg.ts);
    if (!inThread && (!before || dayOf(date) !== dayOf(dateOf(before.ts)))) rows.push({ key: `day ${dayOf(date)}`, look: dayName(date), make: () => el('div', { class: 'day', role: 'separator' }, el('span', {}, dayName(date))) });
    const thread = replies(msg);
    const options = { compact: follows(msg, before) && !(inThread && at === 1), replies: thread, inThread };
    rows.push({ key: msg.ts, look: [identityOf(msg), options.compact, thread.count, thread.last, S.unread.has(`${msg.channel}/${msg.ts}`)].join(), make: () => messageNode(msg, options) });
    if (inThread && at === 0 && list.length > 1) rows.push({ key: 'count', look: list.length, make: () => el('div', { class: 'day', role: 'separator' }, el('span', {}, `${list.length - 1} ${list.length === 2 ? 'reply' : 'replies'}`)) });
  });
  return rows;
}

/** Brings a list's DOM up to its rows, touching only what changed: an edit must not lose a scroll or a focus. */
function reconcile(box, rows) {
  const old = new Map([...box.children].map((node) => [node.dataset.key, node]));
  rows.forEach((row, at) => {
    let node = old.get(String(row.key));
    if (!node || node.dataset.look !== String(row.look)) {
      const fresh = row.make();
      Object.assign(fresh.dataset, { key: row.key, look: row.look });
      if (node) { carryOver(node, fresh); node.replaceWith(fresh); restoreFocus(node, fresh); }
      node = fresh;
    }
    old.delete(String(row.key));
    if (box.children[at] !== node) box.insertBefore(node, box.children[at] ?? null);
  });
  for (const node of old.values()) node.remove();
}

let focusToRestore = null;
function carryOver(from, to) {
  focusToRestore = from.contains(document.activeElement) ? document.activeElement : null;
  const scrolls = to.querySelectorAll('.table-scroll');
  const lefts = [...from.querySelectorAll('.table-scroll')].map((table) => table.scrollLeft);
  requestAnimationFrame(() => scrolls.forEach((table, at) => { table.scrollLeft = lefts[at] ?? 0; }));
  if (toolbar.parentNode === from) { toolbar.remove(); to.append(toolbar); }
  if (from.classList.contains('flash')) to.classList.add('flash');
}

function restoreFocus(from, to) {
  if (!focusToRestore) return;
  const id = focusToRestore.dataset.actionId;
  const same = id ? [...to.querySelectorAll('[data-action-id]')].find((node) => node.dataset.actionId === id) : null;
  (toolbar.contains(focusToRestore) ? focusToRestore : same ?? to).focus({ preventScroll: true });
  focusToRestore = null;
}

const pinned = { scroll: true, 'thread-scroll': true }; // is this list at its bottom?

function toBottom(id) {
  pinned[id] = true;
  $(id).scrollTop = $(id).scrollHeight;
}

function watchScroll(id) {
  const box = $(id);
  box.addEventListener('scroll', () => {
    pinned[id] = box.scrollHeight - box.scrollTop - box.clientHeight < 48;
    if (id === 'scroll') $('to-bottom').hidden = pinned[id];
  }, { passive: true });
  const keep = new ResizeObserver(() => { if (pinned[id]) box.scrollTop = box.scrollHeight; });
  keep.observe(box);
  keep.observe(box.firstElementChild);
  box.addEventListener('keydown', (event) => walkMessages(event, box));
  for (const name of ['mouseover', 'focusin']) box.addEventListener(name, (event) => showToolbar(event.target.closest('.message')));
}

function walkMessages(event, box) {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const here = document.activeElement.closest('.message');
  if (!step || (document.activeElement !== box && document.activeElement !== here)) return;
  const all = [...box.querySelectorAll('.message')];
  const next = here ? all[all.indexOf(here) + step] : all.at(-1);
  if (!next) return;
  event.preventDefault();
  next.focus();
}

let painting = null;
/** Asks for a repaint; several events at once make one. A timer, not a frame: hidden tabs get no frames. */
function paintSoon() { painting ??= setTimeout(() => { painting = null; paint(); }, 16); }

function paint() {
  if (!S.loaded) return;
  const all = visible(S.channel);
  reconcile($('messages'), rowsOf(all.filter((msg) => !isReply(msg) || msg.subtype === 'thread_broadcast'), false));
  if (!all.length) $('messages').replaceChildren(el('div', { class: 'empty' }, el('b', {}, nameOf(S.channels.get(S.channel))), el('p', {}, 'Nothing was said here yet.')));
  if (S.thread) reconcile($('thread-messages'), rowsOf(all.filter((msg) => msg.ts === S.thread || msg.thread_ts === S.thread), true));
  for (const id of ['scroll', 'thread-scroll']) if (pinned[id]) $(id).scrollTop = $(id).scrollHeight;
  paintFrame();
}

// ---------------------------------------------------------------------------------------- composer and completion

/** What may follow the caret: commands, then the values of the argument at hand; @people. */
function completionsFor(text, caret) {
  const before = text.slice(0, caret);
  const none = { items: [], active: -1, hint: '' };
  if (/^\/\w*$/.test(before)) return '/habops'.startsWith(before.toLowerCase()) ? { ...none, active: 0, items: [{ name: '/habops', detail: 'Run an operations command', insert: '/habops ', from: 0 }] } : none;
  const at = /(?:^|\s)@([\w.-]*)$/.exec(before);
  if (at) return { ...none, active: 0, items: peopleItems(at[1].toLowerCase(), caret - at[1].length - 1) };
  const bot = /^(?:\/habops|@habops|<@\w+>)\s+/i.exec(before);
  return bot ? commandItems(before.slice(bot[0].length), bot[0].length) : none;
}

function peopleItems(typed, from) {
  const all = [{ name: S.bot.name ?? 'habops', real_name: 'the bot: @habops status works in threads too' }, ...[...S.people.values()].filter((person) => person.id !== S.bot.user_id)];
  return all.filter((person) => person.name.toLowerCase().startsWith(typed)).map((person) => ({ name: `@${person.name}`, detail: person.real_name ?? '', insert: `@${person.name} `, from }));
}

function commandItems(rest, start) {
  const typed = rest.toLowerCase();
  const fits = S.commands.filter((command) => command.name.startsWith(typed));
  const inside = typed ? S.commands.filter((command) => !fits.includes(command) && command.name.split(' ').some((word) => word.startsWith(typed))) : [];
  const names = [...fits, ...inside].map((command) => ({ name: command.name, usage: command.usage, detail: command.summary, insert: `${command.name} `, from: start }));
  if (names.length) return { items: names, active: typed ? 0 : -1, hint: '' };
  const whole = S.commands.filter((command) => typed.startsWith(`${command.name} `)).sort((a, b) => b.name.length - a.name.length)[0];
  return whole ? argumentItems(whole, rest.slice(whole.name.length + 1), start + rest.length) : { items: [], active: -1, hint: '' };
}

function argumentItems(command, typed, caret) {
  const words = typed.trimStart().split(/\s+/);
  const word = words.pop() ?? '';
  const args = command.arguments ?? [];
  const flag = (name) => args.find((arg) => arg.name.startsWith('--') && arg.name === name);
  const places = args.filter((arg) => !arg.name.startsWith('--'));
  const taken = words.filter((done, at) => !done.startsWith('--') && !flag(words[at - 1])).length;
  const arg = flag(words.at(-1)) ?? places[taken];
  const values = word.startsWith('-') ? args.map((one) => one.name).filter((name) => name.startsWith('--')) : arg?.values ?? [];
  const items = values.filter((value) => value.startsWith(word) && value !== word).map((value) => ({ name: value, detail: '', insert: `${value} `, from: caret - word.length }));
  return { items, active: -1, hint: `${command.usage ?? command.name}${command.summary ? `: ${command.summary}` : ''}` };
}

/** Builds a composer in `slot`; `place` says where its text goes. */
function makeComposer(slot, name, place) {
  const list = el('ul', { class: 'completions', role: 'listbox', id: `${name}-list`, 'aria-label': 'Completions', data: { testid: 'completions' }, hidden: true });
  const hint = el('p', { class: 'usage', data: { testid: 'usage' }, hidden: true });
  const error = el('p', { class: 'composer-error', role: 'alert', data: { testid: 'composer-error' } });
  const box = el('textarea', { rows: '1', role: 'combobox', 'aria-autocomplete': 'list', 'aria-expanded': 'false', 'aria-controls': list.id, autocomplete: 'off', spellcheck: 'false', enterkeyhint: 'send', data: { testid: 'composer' } });
  const sendButton = el('button', { type: 'button', class: 'icon send', 'aria-label': 'Send', data: { testid: 'send' } }, icon('send'));
  slot.append(el('div', { class: 'composer' }, el('div', { class: 'popup' }, hint, list), el('div', { class: 'composer-box' }, box, sendButton), error));
  let now = { items: [], active: -1, hint: '' };
  const sent = [];

  const fit = () => { box.style.height = 'auto'; box.style.height = `${Math.min(box.scrollHeight, 200)}px`; };
  const highlight = () => {
    [...list.children].forEach((node, at) => { node.setAttribute('aria-selected', String(at === now.active)); if (at === now.active) node.scrollIntoView({ block: 'nearest' }); });
    box.setAttribute('aria-activedescendant', now.active < 0 ? '' : `${list.id}-${now.active}`);
  };
  const show = (next) => {
    now = next;
    list.replaceChildren(...now.items.map((item, at) => el('li', { id: `${list.id}-${at}`, role: 'option', on: { pointerdown: (event) => { event.preventDefault(); accept(item); } } },
      el('b', {}, item.name), item.usage && item.usage !== item.name && el('code', {}, item.usage), item.detail && el('span', {}, item.detail))));
    list.hidden = !now.items.length;
    hint.hidden = !now.hint;
    hint.textContent = now.hint;
    box.setAttribute('aria-expanded', String(!list.hidden));
    highlight();
  };
  const complete = () => show(completionsFor(box.value, box.selectionStart));
  const accept = (item) => {
    const end = box.value.slice(box.selectionStart);
    box.setRangeText(item.insert, item.from, box.value.length - end.replace(/^ /, '').length, 'end');
    box.focus();
    fit();
    complete();
  };
  const set = (text) => { box.value = text; fit(); box.focus(); box.setSelectionRange(text.length, text.length); complete(); };
  const send = async () => {
    const text = box.value.trim();
    if (!text) return;
    sent.push(text);
    box.value = '';
    error.textContent = '';
    fit();
    complete();
    if (place().scroll) toBottom(place().scroll);
    const answer = await post('/sandbox/type', { person: S.me, channel: place().channel, thread_ts: place().thread_ts, text: withIds(text) });
    if (answer.ok) return tick(text);
    error.textContent = answer.error;
    if (!box.value) { box.value = text; fit(); }
  };
  box.addEventListener('input', () => { error.textContent = ''; fit(); complete(); });
  box.addEventListener('blur', () => show({ items: [], active: -1, hint: '' }));
  box.addEventListener('keydown', (event) => {
    if (event.isComposing) return;
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const item = now.items[now.active];
    if (move && now.items.length) {
      now.active = now.active < 0 && move < 0 ? now.items.length - 1 : (now.active + move + now.items.length) % now.items.length;
      highlight();
    } else if (event.key === 'Tab' && !event.shiftKey && now.items.length) accept(item ?? now.items[0]);
    else if (event.key === 'Escape' && (now.items.length || now.hint)) show({ items: [], active: -1, hint: '' });
    else if (event.key === 'ArrowUp' && !box.value && sent.length) set(sent.at(-1));
    else if (event.key === 'Enter' && !event.shiftKey) {
      // A word that is already whole is sent, not completed once more.
      if (item && item.insert.trim() !== box.value.slice(item.from).trim()) accept(item); else send();
    } else return;
    event.preventDefault();
  });
  sendButton.addEventListener('click', send);
  return { box, set };
}

/** Slack's client sends ids where people typed names; @habops is left to the sandbox. */
function withIds(text) {
  const people = [...S.people.values()], channels = [...S.channels.values()];
  return text.replace(/(^|[\s,(])([@#])([\w.-]*\w)/g, (whole, lead, mark, name) => {
    const found = (mark === '@' ? people : channels).find((one) => one.name === name && one.id !== S.bot.user_id);
    return found ? `${lead}<${mark}${found.id}${mark === '#' ? `|${name}` : ''}>` : whole;
  });
}

let composer, threadComposer;

// ---------------------------------------------------------------------------------------- sidebar, header, faults

/** A direct message has no name of its own: it is with the bot. */
const nameOf = (channel) => (/^D/.test(channel?.id) ? S.bot.name : channel?.name ?? '');
const iconOf = (channel) => icon(/^D/.test(channel.id) ? 'thread' : channel.is_private ? 'lock' : 'hash');
const canSee = (channel) => (!channel.is_private && !/^[DG]/.test(channel.id)) || (channel.members ?? []).includes(S.me);
const seenChannels = () => [...S.channels.values()].filter(canSee);

function paintFrame() {
  paintChannels();
  paintHeader();
  const channel = S.channels.get(S.channel) ?? {};
  composer.box.disabled = Boolean(channel.is_archived);
  composer.box.placeholder = channel.is_archived ? `#${channel.name} is archived` : 'Type /habops or a message';
  composer.box.setAttribute('aria-label', `Message to ${channel.name ?? ''}`);
  threadComposer.box.placeholder = 'Reply, or type @habops';
  threadComposer.box.setAttribute('aria-label', 'Reply in this thread');
  threadComposer.box.dataset.thread = S.thread ?? '';
  $('thread-panel').hidden = !S.thread;
  $('faults-panel').hidden = !S.faultsOpen;
  $('side').hidden = !S.thread && !S.faultsOpen;
  $('side').classList.toggle('widened', Boolean(S.widened && S.thread));
  $('widen-thread').setAttribute('aria-pressed', String(S.widened));
  $('open-faults').setAttribute('aria-expanded', String(S.faultsOpen));
  $('sidebar').classList.toggle('open', S.drawerOpen);
  $('scrim').hidden = !S.drawerOpen;
  $('open-drawer').setAttribute('aria-expanded', String(S.drawerOpen));
}

/** Replaces the buttons of a box; the focus stays on the one it was on. */
function replaceButtons(box, nodes) {
  const kept = box.contains(document.activeElement) ? document.activeElement.dataset : {};
  box.replaceChildren(...nodes);
  const same = [...box.querySelectorAll('button')].find((node) => (kept.id ?? kept.name) && node.dataset.id === kept.id && node.dataset.name === kept.name);
  same?.focus({ preventScroll: true });
}

function paintChannels() {
  const look = JSON.stringify([seenChannels(), S.channel, [...S.unread]]);
  if ($('channels').dataset.look === look) return;
  $('channels').dataset.look = look;
  replaceButtons($('channels'), seenChannels().map((channel) => {
    const unread = S.unread.has(channel.id);
    return el('li', {}, el('button', { type: 'button', class: [unread && 'unread', channel.is_archived && 'archived'].filter(Boolean).join(' ') || null, 'aria-current': channel.id === S.channel ? 'page' : null,
      data: { testid: 'channel', id: channel.id }, on: { click: () => jump(channel.id) } },
    iconOf(channel), el('span', {}, nameOf(channel)), unread && el('span', { class: 'dot', role: 'img', 'aria-label': 'unread' })));
  }));
}

function paintHeader() {
  const channel = S.channels.get(S.channel) ?? {};
  $('channel-name').replaceChildren(iconOf(channel), nameOf(channel));
  $('channel-topic').replaceChildren(...plain(channel.topic));
  $('thread-where').textContent = `#${nameOf(channel)}`;
  document.title = `${S.unread.size ? '• ' : ''}#${nameOf(channel)} · habops sandbox`;
  $('connection').className = S.bot.connected ? 'connection up' : 'connection';
  const words = S.bot.connected ? 'connected' : 'not connected';
  if ($('connection').textContent !== `habops ${words}`) $('connection').replaceChildren(el('span', { class: 'wide' }, 'habops '), words);
  const on = [...S.faults.values()].filter((fault) => fault.on).length;
  $('fault-count').hidden = !on;
  $('fault-count').textContent = on;
}

function paintPeople() {
  const kinds = { guest: 'guest', stranger: 'other workspace', bot: 'bot' };
  $('team-name').textContent = S.team.name ?? 'Sandbox';
  replaceButtons($('people'), [...S.people.values()].filter((person) => person.id !== S.bot.user_id).map((person) => el('button', {
    type: 'button', 'aria-pressed': String(person.id === S.me), title: person.tz ? `${person.tz}, ${inZone(new Date(), person.tz, CLOCK)} there` : null,
    data: { testid: 'person', id: person.id }, on: { click: () => become(person.id) },
  }, avatar(personOf(person.id), true), el('span', { class: 'person-words' }, el('b', {}, person.real_name || person.name), el('small', {}, [person.title, kinds[person.kind]].filter(Boolean).join(' · '))))));
}

function become(id) {
  S.me = id;
  S.drawerOpen = false;
  remember(sessionStorage, 'me', id);
  if (!canSee(S.channels.get(S.channel) ?? {})) S.channel = homeChannel();
  $('messages').replaceChildren();
  $('thread-messages').replaceChildren();
  paintPeople();
  paint();
}

function paintFaults() {
  const groups = new Map();
  for (const fault of S.faults.values()) groups.set(fault.group, [...(groups.get(fault.group) ?? []), fault]);
  replaceButtons($('fault-groups'), [...groups].map(([group, faults]) => el('section', { class: 'fault-group', 'aria-label': GROUPS[group] ?? group }, el('h3', {}, GROUPS[group] ?? group), faults.map(faultNode))));
  const order = [...S.nodes.values()].sort((a, b) => (a.state === 'ok') - (b.state === 'ok'));
  $('nodes').replaceChildren(...order.map((node) => el('li', { data: { testid: 'node', name: node.name } }, el('span', { class: `state-dot ${/^\w+$/.test(node.state) ? node.state : ''}` }), el('span', { class: 'node-name' }, node.name), el('small', {}, node.state === 'ok' ? '' : node.state))));
  $('nodes-section').hidden = !order.length;
}

function faultNode(fault) {
  const once = fault.on === null; // it happens at each push, and is never on
  const id = `about-${fault.name}`;
  const node = el('button', { type: 'button', class: once ? 'fault once' : 'fault', role: once ? null : 'switch', 'aria-checked': once ? null : String(Boolean(fault.on)), 'aria-describedby': id, data: { testid: 'fault', name: fault.name } },
    el('span', { class: 'fault-words' }, el('b', {}, fault.title || fault.name), el('small', { id }, fault.about)), once ? el('span', { class: 'btn' }, 'Do it once') : el('span', { class: 'knob', 'aria-hidden': 'true' }));
  node.addEventListener('click', () => setFault(fault.name, once || !S.faults.get(fault.name).on, once));
  return node;
}

async function setFault(name, on, once) {
  const answer = await post('/sandbox/fault', { name, on });
  if (!answer.ok) return toast(`${name} could not be changed: ${answer.error}`);
  if (once) toast(`Done: ${S.faults.get(name).title}.`); else S.faults.set(name, { ...S.faults.get(name), on });
  tick('fault');
  paintFaults();
  paintHeader();
}

/** Ticks off the first-run hints as they are done; whoever goes on after the last has no more use for them. */
function tick(what) {
  if (!document.querySelector('[data-step]:not(.done)')) hideHints();
  const step = /^\/habops incident open/.test(what) ? 'open' : /^(\/|@)habops status/.test(what) ? 'status' : what === 'fault' ? 'break' : null;
  if (step) document.querySelector(`[data-step="${step}"]`).classList.add('done');
}

function hideHints() {
  $('hint').hidden = true;
  remember(localStorage, 'hints', 'off');
}

// ---------------------------------------------------------------------------------------- dialogs

function askConfirm(confirm) {
  const dialog = $('confirm');
  const close = (value) => () => dialog.close(value);
  dialog.replaceChildren(el('h2', { id: 'confirm-title' }, plain(confirm.title?.text ?? 'Are you sure?')), el('div', { class: 'dialog-body' }, textObject(confirm.text)),
    el('div', { class: 'dialog-buttons' },
      el('button', { type: 'button', class: 'btn', autofocus: true, data: { testid: 'confirm-no' }, on: { click: close('no') } }, plain(confirm.deny?.text ?? 'Cancel')),
      el('button', { type: 'button', class: confirm.style === 'danger' ? 'btn danger' : 'btn primary', data: { testid: 'confirm-yes' }, on: { click: close('yes') } }, plain(confirm.confirm?.text ?? 'Yes'))));
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}

let openView = null;

function showView(view) {
  const dialog = $('modal');
  openView = view;
  const form = el('form', { novalidate: true, on: { submit: (event) => { event.preventDefault(); submitView(form); } } },
    el('h2', { id: 'modal-title' }, plain(view.title?.text)), el('div', { class: 'dialog-body' }, blocksOf(view.blocks ?? [], { view_id: view.id })), el('p', { class: 'field-error', role: 'alert', data: { errorFor: '' } }),
    el('div', { class: 'dialog-buttons' }, el('button', { type: 'button', class: 'btn', on: { click: () => dialog.close() } }, plain(view.close?.text ?? 'Cancel')),
      view.submit && el('button', { type: 'submit', class: 'btn primary', data: { testid: 'modal-submit' } }, plain(view.submit.text))));
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
  dialog.querySelector('.field')?.focus();
}

function hideView() {
  openView = null;
  if ($('modal').open) $('modal').close();
}

async function submitView(form) {
  const values = {}, errors = {};
  for (const field of form.querySelectorAll('.field')) {
    (values[field.dataset.blockId] ??= {})[field.dataset.actionId] = field.value || null;
    if (field.required && !field.value.trim()) errors[field.dataset.blockId] = 'This is needed.';
  }
  if (Object.keys(errors).length) return showViewErrors(form, errors);
  const submit = form.querySelector('[type="submit"]');
  submit.setAttribute('aria-busy', 'true');
  const answer = await post('/sandbox/submit', { person: S.me, view_id: openView.id, values });
  submit.removeAttribute('aria-busy');
  if (answer.errors) showViewErrors(form, answer.errors);
  else if (!answer.ok) showViewErrors(form, { '': answer.error });
  else if (!/^(update|push)$/.test(answer.response_action ?? '')) hideView(); // those two bring another view by event
}

function showViewErrors(form, errors) {
  for (const node of form.querySelectorAll('.field-error')) node.textContent = errors[node.dataset.errorFor] ?? '';
}

let toastTimer;
function toast(text) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $('toast').hidden = true; }, TOAST_MS);
}

// ---------------------------------------------------------------------------------------- server

async function post(path, body) {
  S.askedAt = Date.now();
  try {
    const response = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    const answer = await response.json().catch(() => null);
    return answer ?? { ok: false, error: `the sandbox answered ${response.status}` };
  } catch {
    return { ok: false, error: 'the sandbox does not answer' };
  }
}

function keep(msg) {
  if (!S.messages.has(msg.channel)) S.messages.set(msg.channel, new Map());
  S.messages.get(msg.channel).set(msg.ts, msg);
}

function markUnread(msg) {
  if (msg.user === S.me || (msg.ephemeral_to && msg.ephemeral_to !== S.me)) return;
  if (isReply(msg) && !(S.channel === msg.channel && S.thread === msg.thread_ts)) S.unread.add(`${msg.channel}/${msg.thread_ts}`);
  if (S.channel !== msg.channel) S.unread.add(msg.channel);
}

function onEvent(event) {
  if (event.type === 'hello') return refetch();
  if (!S.loaded) return S.early.push(event);
  const { message: msg } = event;
  switch (event.type) {
    case 'message': keep(msg); markUnread(msg); break;
    case 'message_changed': case 'pin': if (msg) keep(msg); break;
    case 'message_deleted': S.messages.get(msg.channel)?.delete(msg.deleted_ts ?? msg.ts); break;
    case 'connected': S.bot.connected = event.connected; break;
    case 'fault': S.faults.set(event.fault.name, { ...S.faults.get(event.fault.name), ...event.fault }); paintFaults(); break;
    case 'node': S.nodes.set(event.node.name, event.node); paintFaults(); break;
    case 'channel': S.channels.set(event.channel.id, event.channel); break;
    case 'view': if (event.person === S.me && wantsView(event.view)) showView(event.view); break;
    case 'view_closed': if (openView?.id === event.view_id) hideView(); break;
    default: break;
  }
  paintSoon();
}

/** As in Slack, a dialog opens only in the window that asked for it: a person may have two. */
const wantsView = (view) => openView?.id === view.id || Date.now() - S.askedAt < VIEW_WAIT_MS;

const byId = (list, key = 'id') => new Map((list ?? []).map((one) => [one[key], one]));

async function refetch() {
  const response = await fetch('/sandbox/state').catch(() => null);
  if (!response?.ok) return;
  const state = await response.json();
  Object.assign(S, { team: state.team ?? {}, bot: state.bot ?? {}, people: byId(state.people), channels: byId(state.channels), commands: state.commands ?? [], faults: byId(state.faults, 'name'), nodes: byId(state.nodes, 'name') });
  S.messages = new Map();
  (state.messages ?? []).forEach(keep);
  const first = !S.loaded;
  S.loaded = true;
  S.early.splice(0).forEach(onEvent);
  if (first || !S.people.has(S.me)) begin();
  paintPeople();
  paintFaults();
  paint();
}

/** EventSource retries by itself after a cut, but gives up on a refused answer; then we retry. */
function listen() {
  const source = new EventSource('/sandbox/events');
  source.onmessage = (event) => { $('lost').hidden = true; onEvent(JSON.parse(event.data)); };
  source.onerror = () => {
    $('lost').hidden = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, RECONNECT_MS);
  };
}

// ---------------------------------------------------------------------------------------- navigation

const homeChannel = () => (seenChannels().find((channel) => channel.name === 'operations') ?? seenChannels()[0])?.id ?? null;

function setPlace(channel, thread) {
  if (channel !== S.channel) { $('messages').replaceChildren(); pinned.scroll = true; $('to-bottom').hidden = true; }
  if (thread !== S.thread || channel !== S.channel) { $('thread-messages').replaceChildren(); pinned['thread-scroll'] = true; }
  Object.assign(S, { channel, thread, drawerOpen: false });
  if (thread && isPhone()) S.faultsOpen = false;
  S.unread.delete(channel);
  if (thread) S.unread.delete(`${channel}/${thread}`);
  const hash = `#${channel}${thread ? `/${thread}` : ''}`;
  if (location.hash !== hash) history.pushState(null, '', hash);
  paint();
}

/** Goes to a channel, or to a message in it: in its thread if it has one, else in the channel. */
function jump(channel, ts, always) {
  if (!S.channels.has(channel) || !canSee(S.channels.get(channel))) return toast('That channel is not here, or you are not in it.');
  if (!ts) return setPlace(channel, null);
  const msg = messageAt(channel, ts);
  const thread = msg && (isReply(msg) ? msg.thread_ts : always || msg.reply_count || visible(channel).some((reply) => reply.thread_ts === ts && isReply(reply)) ? ts : null);
  setPlace(channel, thread ?? null);
  if (msg) flash(ts); else toast('That message is not here (any more).');
}

/** Shows where a message is. A thread stays at its newest reply when its root is meant: the news is there. */
function flash(ts) {
  for (const node of document.querySelectorAll('.message')) {
    node.classList.remove('flash');
    if (node.dataset.ts !== ts) continue;
    const box = node.closest('.scroll');
    if (ts !== S.thread || box.id === 'scroll') {
      pinned[box.id] = false;
      node.scrollIntoView({ block: 'center' });
    }
    node.classList.add('flash');
  }
}

function openThread(ts, focus) {
  setPlace(S.channel, ts);
  if (focus || !isPhone()) threadComposer.box.focus({ preventScroll: true });
}

function widenThread() {
  S.widened = !S.widened;
  if (S.widened) S.faultsOpen = false;
  paint();
}

function toggleFaults(open) {
  S.faultsOpen = open;
  if (open && isPhone()) S.thread = null;
  paint();
}

function route() {
  const [, channel, ts] = /^#([CDG]\w+)(?:\/(\d+\.\d+))?$/.exec(location.hash) ?? [];
  if (channel) jump(channel, ts, true);
}

/** Once, when the first state is here. */
function begin() {
  const kept = recall(sessionStorage, 'me');
  const folk = [...S.people.values()].filter((person) => person.id !== S.bot.user_id);
  S.me = (S.people.has(kept) && kept) || folk.find((person) => person.kind === 'member')?.id || folk[0]?.id;
  S.channel = homeChannel();
  S.faultsOpen = matchMedia('(min-width: 1200px)').matches;
  $('hint').hidden = recall(localStorage, 'hints') === 'off';
  route();
  if (!isPhone()) composer.box.focus();
}

function wire() {
  composer = makeComposer($('composer-slot'), 'main', () => ({ channel: S.channel, thread_ts: null, scroll: 'scroll' }));
  threadComposer = makeComposer($('thread-composer-slot'), 'thread', () => ({ channel: S.channel, thread_ts: S.thread, scroll: 'thread-scroll' }));
  ['scroll', 'thread-scroll'].forEach(watchScroll);
  const drawer = (open) => () => { S.drawerOpen = open; paintFrame(); };
  $('open-drawer').addEventListener('click', drawer(true));
  $('scrim').addEventListener('click', drawer(false));
  $('close-thread').addEventListener('click', () => { setPlace(S.channel, null); composer.box.focus({ preventScroll: true }); });
  $('widen-thread').addEventListener('click', widenThread);
  $('open-faults').addEventListener('click', () => toggleFaults(!S.faultsOpen));
  $('close-faults').addEventListener('click', () => toggleFaults(false));
  $('to-bottom').addEventListener('click', () => toBottom('scroll'));
  $('hint-close').addEventListener('click', hideHints);
  for (const node of document.querySelectorAll('[data-fill]')) node.addEventListener('click', () => composer.set(node.dataset.fill));
  document.querySelector('[data-open="faults"]').addEventListener('click', () => { toggleFaults(true); document.querySelector('.fault')?.focus(); });
  $('modal').addEventListener('close', () => { if (openView) post('/sandbox/close_view', { person: S.me, view_id: openView.id }); openView = null; });
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape' && S.drawerOpen) drawer(false)(); });
  addEventListener('popstate', route);
  listen();
}

wire();
