// Runs a task now and every so often, until the view is left; not while the tab is hidden.  period_ms: a number, or
// a function that says it anew each time.

export function poll(task, period_ms, signal) {
    let timer = null;
    let running = false;
    const visible = () => document.visibilityState === 'visible';
    const plan = () => {
        clearTimeout(timer);
        if (!signal.aborted && visible()) timer = setTimeout(run, typeof period_ms === 'function' ? period_ms() : period_ms);
    };
    async function run() {
        if (running || signal.aborted || !visible()) return;
        running = true;
        try {
            await task();
        } finally {
            running = false;
            plan();
        }
    }
    document.addEventListener('visibilitychange', run, { signal });
    signal.addEventListener('abort', () => clearTimeout(timer));
    return run();
}
