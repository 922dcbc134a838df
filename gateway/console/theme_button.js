// The button that goes from the system's colours to light, to dark, and back.  theme.js sets at start what is kept here.
import { button } from './ui.js';

const key = 'whisperer-theme';
const order = ['system', 'light', 'dark'];
const signs = { system: '◐', light: '☀', dark: '☾' };

function chosen() {
    return document.documentElement.dataset.theme ?? 'system';
}

function choose(theme) {
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
        if (theme === 'system') localStorage.removeItem(key);
        else localStorage.setItem(key, theme);
    } catch {
        // Then it lasts until the page is left.
    }
}

export function themeButton() {
    const node = button(
        '',
        () => {
            choose(order[(order.indexOf(chosen()) + 1) % order.length]);
            say();
        },
        { small: true },
    );
    function say() {
        node.textContent = signs[chosen()];
        node.setAttribute('aria-label', `Colours: ${chosen()}`);
        node.title = `Colours: ${chosen()}`;
    }
    say();
    return node;
}
