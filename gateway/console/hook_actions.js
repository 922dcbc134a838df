// What can be done with a hook beside pinging it: pause, resume, rotate its secret, recover, replay, delete.  Each that cannot be
// undone says first what it will do.
import { post, remove } from './api.js';
import { confirmThen, formDialog, showPublicKey, showSecret } from './dialogs.js';
import { h, replace } from './dom.js';
import { checkbox, makeField } from './form.js';
import { count, fromLocalInput, localInput, plural } from './format.js';
import { retryDialog } from './retry_many.js';
import { button, errorBox, notify } from './ui.js';
import { isSigningKey } from './verify_help.js';

const day_ms = 24 * 3600 * 1000;

export function pauseButton(hook, done) {
    const active = hook.state === 'active';
    return button(
        active ? 'Pause' : 'Resume',
        async () => {
            await post(`hooks/${hook.id}/${active ? 'pause' : 'resume'}/`);
            notify(active ? 'Paused. Deliveries wait until it is resumed; none is lost.' : 'Resumed. What waited is delivered now.');
            await done();
        },
        { kind: active ? 'plain' : 'primary', 'data-key': 'pause' },
    );
}

// After the receiver was mended: what failed, and what waits for its next attempt, need not wait for it.
export function deliverNowButton(hook, done) {
    return button('Deliver now …', () =>
        retryDialog({ title: 'Deliver now', what: `All of hook ${hook.id}.`, query: new URLSearchParams({ webhook: hook.id }), done }),
    );
}

export function rotateButton(hook, done) {
    return button('Rotate secret', () => {
        const own = makeField({
            name: 'new_secret',
            label: 'New secret',
            kind: 'password',
            hint: 'Empty: one is made and shown once.',
        });
        const overlap = makeField({
            name: 'overlap',
            label: 'Overlap in hours',
            value: '24',
            inputmode: 'decimal',
            check: (text) => (text.trim() !== '' && Number(text) >= 0 ? null : 'A number of hours, 0 or more.'),
            hint: 'Both secrets sign until then, so that the receiver can change over.',
        });
        formDialog('Rotate the secret', [own, overlap], {
            label: 'Rotate',
            run: async () => {
                const body = { overlap: Math.round(Number(overlap.value) * 3600) };
                if (own.value !== '') body.new_secret = own.value;
                const { data } = await post(`hooks/${hook.id}/rotate_secret/`, body);
                if (own.value === '')
                    showSecret(
                        'The new secret',
                        data.secret_key,
                        'Requests are signed with this one from now on, and with the old one as well during the overlap.',
                    );
                else if (isSigningKey(own.value)) showPublicKey('The new public key', own.value);
                else notify('The secret was rotated.');
                await done();
            },
        });
    });
}

const chances = {
    recover: {
        title: 'Recover failed deliveries',
        verb: 'Recover',
        text: 'Every failed delivery of an event recorded in this time is tried again, with the whole countdown before it.',
        counted: (number) => `${plural(number, 'failed delivery', 'failed deliveries')} will be tried again.`,
        none: 'No failed delivery of that time.',
        done: (number) => `${plural(number, 'delivery', 'deliveries')} queued again.`,
    },
    replay: {
        title: 'Replay events',
        verb: 'Replay',
        text: 'Every event recorded in this time that matches the hook is sent, whether it was delivered before or not.',
        counted: (number) => `${plural(number, 'event')} will be sent.`,
        none: 'No event of that time matches.',
        done: (number) => `${plural(number, 'event')} queued.`,
    },
};

// Only a replay may leave some out.
function leftOut(expunged) {
    return expunged > 0 ? ` ${plural(expunged, 'event')} stay${expunged === 1 ? 's' : ''} out: the data was expunged.` : '';
}

function rangeFields() {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    return {
        since: makeField({
            name: 'since',
            label: 'Recorded since',
            kind: 'datetime-local',
            required: true,
            value: localInput(new Date(Date.now() - day_ms)),
            hint: `Your time, ${zone}.`,
        }),
        until: makeField({ name: 'until', label: 'Until', kind: 'datetime-local', hint: 'Empty: now.' }),
    };
}

// Counts first, without doing anything, and does what was counted: the same range, its end fixed.
export function chanceButton(hook, kind, done) {
    const { title, verb, text, counted, none, done: told } = chances[kind];
    return button(`${verb} …`, () => {
        const { since, until } = rangeFields();
        const new_ids = checkbox({
            name: 'new_ids',
            label: 'As new events',
            hint: 'A receiver drops an event that it had, by its webhook-id; a new id makes it take it again.',
        });
        const inputs = kind === 'replay' ? [since, until, new_ids] : [since, until];
        const said = h('p', { class: 'counted', role: 'status' });
        const act = button(verb, () => carryOut(), { kind: 'primary', 'aria-disabled': 'true' });
        const box = h('div');
        let range = null;

        function forget() {
            range = null;
            replace(said);
            act.textContent = verb;
            act.setAttribute('aria-disabled', 'true');
        }

        const dialog = formDialog(title, inputs, {
            text,
            label: 'Count',
            kind: 'plain',
            keep: true,
            more: [said, box],
            last: act,
            run: async () => {
                const wanted = {
                    since: fromLocalInput(since.value),
                    until: fromLocalInput(until.value) ?? new Date().toISOString(),
                };
                if (kind === 'replay') wanted.new_ids = new_ids.value;
                const { data } = await post(`hooks/${hook.id}/${kind}/`, { ...wanted, dry_run: true });
                forget();
                said.textContent = (data.count > 0 ? counted(data.count) : none) + leftOut(data.expunged ?? 0);
                if (data.count === 0) return;
                range = wanted;
                act.textContent = `${verb} ${count(data.count)}`;
                act.removeAttribute('aria-disabled');
            },
        });
        for (const { input } of inputs) input.addEventListener('input', forget);

        async function carryOut() {
            try {
                const { data } = await post(`hooks/${hook.id}/${kind}/`, range);
                dialog.close();
                notify(told(data.count));
                await done();
            } catch (error) {
                replace(box, errorBox(error));
            }
        }
    });
}

export function deleteButton(hook, pending, done) {
    return button(
        'Delete',
        () =>
            confirmThen({
                title: `Delete hook ${hook.id}?`,
                text: [
                    `It gets no more events, and ${plural(pending() ?? 0, 'pending delivery', 'pending deliveries')} will be cancelled. `,
                    'What was delivered stays visible. This cannot be undone.',
                ],
                label: 'Delete hook',
                kind: 'danger',
                run: async () => {
                    await remove(`hooks/${hook.id}/`);
                    notify(`Hook ${hook.id} was deleted.`);
                    done();
                },
            }),
        { kind: 'quiet-danger' },
    );
}
