// Tries again what a filter of deliveries lets through.  How many there are, and what is left alone, is said first, by the
// same filter of the same server; then it is done, some hundred at a time.
import { nextQuery, post } from './api.js';
import { openDialog } from './dialogs.js';
import { h, replace } from './dom.js';
import { count, plural } from './format.js';
import { announce, button, errorBox, loading, notify } from './ui.js';

const path = 'hook_events/retry/';
const ended_max = 10000; // of delivered and cancelled ones, no more are counted
const text =
    'Failed deliveries are tried again, and those that wait for their next attempt at once. The whole countdown lies before each of them. ' +
    'A receiver that had one drops it by its webhook-id.';
const deliveries = (number) => plural(number, 'delivery', 'deliveries');

function leftAlone({ delivered, cancelled, expunged, pending, deleted_hook }) {
    const least = delivered + cancelled >= ended_max ? 'at least ' : '';
    const parts = [
        delivered > 0 && `${least}${count(delivered)} delivered`,
        cancelled > 0 && `${least}${count(cancelled)} cancelled`,
        expunged > 0 && `${count(expunged)} without data: expunged`,
        pending > 0 && `${count(pending)} pending, due by themselves`,
        deleted_hook > 0 && `${count(deleted_hook)} of a deleted hook`,
    ].filter(Boolean);
    return parts.length > 0 ? `Left alone: ${parts.join('; ')}.` : 'Nothing else matches.';
}

// Calls told(number so far) after each call; answers with how many there were.  keeps_on(): false to stop.
async function retryAll(query, told, keeps_on) {
    let taken = 0;
    for (let next = query; next !== null && keeps_on(); ) {
        try {
            const { data } = await post(path, {}, next);
            taken += data.count;
            next = nextQuery(data.next);
        } catch (error) {
            error.taken = taken;
            throw error;
        }
        told(taken);
    }
    return taken;
}

// query: the filter, as the list has it; what: it in words; done(): when anything was taken up.
export function retryDialog({ title, what, query, done }) {
    const said = h('div', { class: 'counted', role: 'status' }, loading('Counting …'));
    const box = h('div');
    const act = button('Retry', carryOut, { kind: 'primary', 'aria-disabled': 'true' });
    const cancel = button('Cancel', () => node.close(), { autofocus: true });
    const node = openDialog(title, h('p', {}, what), h('p', {}, text), said, box, h('div', { class: 'actions' }, cancel, act));
    let wanted = 0;

    async function look() {
        try {
            const { data } = await post(path, { dry_run: true }, query);
            wanted = data.count;
            replace(
                said,
                h('p', {}, wanted > 0 ? `${deliveries(wanted)} will be tried again.` : 'There is nothing to try again.'),
                h('p', { class: 'faint' }, leftAlone(data.left_out)),
            );
            if (wanted === 0) return;
            act.textContent = `Retry ${count(wanted)}`;
            act.removeAttribute('aria-disabled');
        } catch (error) {
            replace(said);
            replace(box, errorBox(error));
        }
    }

    const tell = (taken) => notify(`${deliveries(taken)} taken up. The worker sends them in the background.`);

    async function carryOut() {
        replace(box);
        const progress = (taken) => {
            replace(said, h('p', {}, `${count(taken)} of ${count(wanted)} taken up …`));
            announce(`${taken} of ${wanted}`);
        };
        try {
            tell(await retryAll(query, progress, () => node.open));
            node.close();
        } catch (error) {
            if (error.taken > 0) tell(error.taken);
            act.setAttribute('aria-disabled', 'true');
            replace(said);
            replace(box, errorBox(error));
        }
        await done();
    }
    look();
    return node;
}
