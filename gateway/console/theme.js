// Light or dark as it was chosen last, set before anything is painted; without a choice the system's.
// Not a module, because modules run too late for that.
(() => {
    let choice = null;
    try {
        choice = localStorage.getItem('whisperer-theme');
    } catch {
        // Storage may be forbidden; then the system decides.
    }
    if (choice === 'light' || choice === 'dark') document.documentElement.dataset.theme = choice;
})();
