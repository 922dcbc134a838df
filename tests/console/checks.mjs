// What every view must satisfy, checked in the page itself.  Each function runs in the browser and answers a list of
// what is wrong.
import { readFileSync } from 'node:fs';

const axe_source = readFileSync(`${process.env.PLAYWRIGHT}/node_modules/axe-core/axe.min.js`, 'utf8');

// What axe-core finds, of everything that it looks at.  This one does not run in the browser: it brings axe-core there.
export async function axe(page) {
    if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe_source);
    const { violations } = await page.evaluate(() => window.axe.run());
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 140)).join(' ')}`);
}

// Names of controls, order of headings, headers of tables, ids that references lead to.
export function accessibility() {
    const wrong = [];
    const visible = (node) => node.checkVisibility({ visibilityProperty: true });
    const name = (node) =>
        (node.getAttribute('aria-label') ?? [...(node.labels ?? [])].map((label) => label.textContent).join(' ') ?? '').trim() ||
        (['BUTTON', 'A', 'SUMMARY'].includes(node.tagName) ? node.textContent.trim() : '');
    const say = (node, what) => wrong.push(`${what}: ${node.outerHTML.slice(0, 140)}`);
    for (const node of document.querySelectorAll('input, select, textarea, button, a, summary'))
        if (visible(node) && !name(node)) say(node, 'has no name');
    for (const node of document.querySelectorAll('[role=region], [role=img], nav, dialog, section'))
        if (!node.getAttribute('aria-label') && !node.getAttribute('aria-labelledby')) say(node, 'has no label');
    for (const node of document.querySelectorAll('svg'))
        if (!node.getAttribute('aria-label') && node.getAttribute('aria-hidden') !== 'true') say(node, 'is neither labelled nor hidden');
    let level = 0;
    for (const node of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
        if (!visible(node)) continue;
        const own = Number(node.tagName[1]);
        if (own > level + 1) say(node, `a heading of level ${own} after one of ${level}`);
        level = own;
    }
    if ([...document.querySelectorAll('main h1')].filter(visible).length !== 1) wrong.push('there must be one h1');
    for (const table of document.querySelectorAll('table')) {
        if (!table.caption) say(table, 'has no caption');
        for (const cell of table.querySelectorAll('th')) if (!cell.scope) say(cell, 'has no scope');
    }
    const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
    if (new Set(ids).size !== ids.length) wrong.push('an id is there twice');
    for (const attribute of ['aria-describedby', 'aria-labelledby', 'for', 'list'])
        for (const node of document.querySelectorAll(`[${attribute}]`))
            for (const id of node.getAttribute(attribute).split(/\s+/))
                if (!document.getElementById(id)) say(node, `${attribute} leads to nothing`);
    for (const node of document.querySelectorAll('[tabindex]'))
        if (Number(node.getAttribute('tabindex')) > 0) say(node, 'has a tabindex above 0');
    if (!document.documentElement.lang || !document.title) wrong.push('the page needs a language and a title');
    return wrong;
}

// Contrast of every text with what it stands on: 4.5 to 1, 3 to 1 for large text, as WCAG 2 AA has it.
export function contrast() {
    const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', {
        willReadFrequently: true,
    });
    const rgba = (colour) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (top, below) => top.slice(0, 3).map((value, i) => value * top[3] + below[i] * (1 - top[3]));
    const ground = (node) => {
        const layers = [];
        for (let at = node; at; at = at.parentElement) {
            layers.push(rgba(getComputedStyle(at).backgroundColor));
            if (layers.at(-1)[3] === 1) break;
        }
        return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
    };
    const light = (colour) => {
        const [r, g, b] = colour
            .map((value) => value / 255)
            .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const wrong = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (
            !walker.currentNode.data.trim() ||
            !node.checkVisibility({ visibilityProperty: true }) ||
            node.closest('.unseen, .skip, noscript, option, datalist, title')
        )
            continue;
        const style = getComputedStyle(node);
        const below = ground(node);
        const colour = over(rgba(node instanceof SVGElement ? style.fill : style.color), below);
        const [a, b] = [light(colour), light(below)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        if (ratio < (large ? 3 : 4.5))
            wrong.add(`${ratio.toFixed(2)} to 1: ${node.tagName} ${node.className} ${node.textContent.slice(0, 40)}`);
    }
    return [...wrong];
}

// The page does not scroll sideways; what is wider scrolls by itself.
export function overflow() {
    const root = document.documentElement;
    if (root.scrollWidth <= root.clientWidth) return [];
    const wide = [...document.querySelectorAll('main *, header *')].filter(
        (node) => node.getBoundingClientRect().right > root.clientWidth + 1 && !node.closest('.scroll, nav, pre'),
    );
    return [`the page is ${root.scrollWidth} wide in ${root.clientWidth}`, ...wide.slice(0, 3).map((node) => node.outerHTML.slice(0, 140))];
}

// Nothing of what others wrote became an element, a link out of the page, or ran.
export function markup() {
    const wrong = [];
    if (window.ran !== undefined) wrong.push(`a script ran: ${window.ran}`);
    for (const node of document.querySelectorAll(
        'main img, main script, main iframe, main object, main embed, main b, dialog img, dialog script, header img, header script',
    ))
        wrong.push(`an element: ${node.outerHTML.slice(0, 140)}`);
    for (const node of document.querySelectorAll('a, area, form, [src], [xlink\\:href]')) {
        const target =
            node.getAttribute('href') ?? node.getAttribute('src') ?? node.getAttribute('xlink:href') ?? node.getAttribute('action');
        if (target !== null && !target.startsWith('#') && !/^[\w-]+\.(js|svg)$/.test(target)) wrong.push(`it leads to ${target}`);
    }
    for (const node of document.querySelectorAll('*'))
        for (const { name } of node.attributes)
            if (/^on|^style$/.test(name)) wrong.push(`an attribute ${name}: ${node.outerHTML.slice(0, 140)}`);
    return wrong;
}
