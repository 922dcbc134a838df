# What an application does that was written against the library whose place whisperer takes: all calls of its client
# (seed_client.py), one after the other, with what each must answer.  Where that differs from the library's, the table of
# docs/from-dj-whisperer.md has it.  Prints a line of TAP for each check.
#
#   python3 seed_user.py URL TOKEN RECEIVER CONNECTION     RECEIVER: the URL of one; CONNECTION: of psql, as who publishes
import subprocess
import sys
import time
import uuid
from datetime import datetime, timedelta

from seed_client import Client

url, token, receiver, connection = sys.argv[1:]
client = Client(url, token)
LATER = {'choice': 'fixed', 'kwargs': {'seconds': 1000}}


def same(got, expected, what):
    print(f"{'ok' if got == expected else 'not ok'} - {what}" + ('' if got == expected else f': {got!r}, not {expected!r}'), flush=True)


def publish(sql):
    subprocess.run(['psql', '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-d', connection, '-c', sql], check=True, stdout=subprocess.DEVNULL)


def until(done):
    """What done() gives when it gives something."""
    deadline = time.monotonic() + 120
    while not (found := done()):
        if time.monotonic() > deadline:
            sys.exit('waited in vain')
        time.sleep(0.05)
    return found


def ids(rows):
    return [row['id'] for row in rows]


def some(row, *names):
    return [row.get(name) for name in names]


def refused(answer):
    problem = answer.json()
    return [answer.status_code, problem['code'], sorted(problem.get('errors', {}))]


# --- hooks --------------------------------------------------------------------------------------------------
same(client.registry(), ['order-paid', 'package-created'], 'the registry is the names of event types')
fields = {
    'event_type': 'package-created', 'target_url': receiver + '/ok/A', 'secret_key': 'secret', 'additional_headers': {'X-Tenant': '7'},
    'config': {'shop': 3}, 'retry_countdown_config': LATER, 'payload_key': 'payload',
}
made = client.create_hook(**fields)
same(made.status_code, 201, 'a hook is created')
first = made.json()
shown = ['event_type', 'target_url', 'is_active', 'callback', 'config', 'retry_countdown_config']
same(some(first, *shown), ['package-created', receiver + '/ok/A', True, None, {'shop': 3}, LATER], 'and shown as it was said')
same([name for name in ('secret_key', 'additional_headers', 'user') if name in first], [], 'but for secrets')
same(first['created_date'] == first['modified_date'] and datetime.fromisoformat(first['created_date']).tzinfo is not None, True, 'it has its dates')
twice = client.create_hook(**fields)
same(refused(twice) + [twice.json()['message'] != ''], [406, 'duplicate', [], True], 'a second one for the same is 406')
same(refused(client.create_hook(**{**fields, 'event_type': 'no-such'})), [400, 'invalid', ['event_type']], 'event types are checked')
same(refused(client.create_hook(event_type='order-paid')), [400, 'invalid', ['target_url']], 'and what is missing')
same(refused(client.create_hook(**{**fields, 'target_url': receiver + '/ok/n', 'retry_countdown_config': {'choice': 'never', 'kwargs': {}}})), [400, 'invalid', ['retry_countdown_config']],
     'and countdowns')
same(refused(Client(url, 'wrong').hook(first['id'])), [401, 'unauthorized', []], 'and the token')
second = client.create_hook(event_type='package-created', target_url=receiver + '/status/500/b', secret_key='', retry_countdown_config=LATER).json()
third = client.create_hook(event_type='order-paid', target_url=receiver + '/ok/c', secret_key='', is_active=False).json()
one, two, three = ids([first, second, third])
same(sorted(ids(client.hooks())), [one, two, three], 'all are listed')
same(ids(client.hooks(target_url=(receiver + '/ok/a').upper())), [one], 'target_url, whatever the case')
same(ids(client.hooks(event_type='PACKAGE-created', ordering='id')), [one, two], 'event_type, whatever the case')
same(ids(client.hooks(is_active=True, ordering='id')), [one, two], 'is_active')
same(ids(client.hooks(is_active=False)), [three], 'and inactive')
same(ids(client.hooks(ordering='-created_date')), [three, two, one], 'in an order')
same(ids(client.hooks(ordering='event_type', limit=1)), [three, one, two], 'through pages')
same(client.hook(one).json(), first, 'one is retrieved')
same(refused(client.hook(999999)), [404, 'not_found', []], 'if it is there')
changed = client.change_hook(three, is_active=True, config={'shop': 4})
same([changed.status_code] + some(changed.json(), 'is_active', 'config', 'event_type'), [200, True, {'shop': 4}, 'order-paid'], 'PATCH changes what it names')
same(refused(client.change_hook(two, target_url=fields['target_url'])), [406, 'duplicate', []], 'not into what there is already')
put = client.replace_hook(three, **{**client.hook(three).json(), 'target_url': receiver + '/ok/put'})
same([put.status_code] + some(put.json(), 'target_url', 'config', 'is_active'), [200, receiver + '/ok/put', {'shop': 4}, True], 'PUT takes what GET gave')
put = client.replace_hook(three, event_type='order-paid', target_url=receiver + '/ok/put', retry_countdown_config=LATER).json()
same(some(put, 'config', 'retry_countdown_config'), [{}, LATER], 'what it leaves out is cleared')

# --- their events ---------------------------------------------------------------------------------------------
began = datetime.now().astimezone()
publish("""SELECT whisperer.deliver_event('package-created', '{"id": 61, "order_number": "248398923123"}', object_id => '61')""")
until(lambda: len([event for event in client.hook_events() if event['request_datetimes']]) == 2)
good = client.hook_events(webhook=one)[0]
bad = client.hook_events(webhook=two)[0]
same(some(good, 'webhook', 'event_type', 'object_id', 'delivered', 'response_http_status', 'retry_count'), [one, 'package-created', '61', True, 200, 1],
     'what was delivered')
same(some(bad, 'webhook', 'delivered', 'response_http_status', 'retry_count'), [two, False, 500, 1], 'and what was not')
same([good['id'], bad['uuid']], [f"{good['uuid']}-{one}", good['uuid']], 'ids are those of event and hook')
same([len(good['request_datetimes']), isinstance(good['response_time'], float), isinstance(good['response_content'], str)], [1, True, True], 'with attempts and answer')
same([name for name in ('request_payload', 'content_type') if name in good], [], 'and without a request_payload')
for what, filters, expected in (
    ('delivered', {'delivered': True}, [good]), ('not delivered', {'delivered': False}, [bad]), ('webhook', {'webhook': two}, [bad]),
    ('uuid', {'uuid': str(uuid.UUID(good['uuid'])), 'ordering': 'webhook'}, [good, bad]), ('another uuid', {'uuid': str(uuid.uuid4())}, []),
    ('response_http_status', {'response_http_status': 500}, [bad]), ('object_id', {'object_id': '61', 'ordering': '-delivered'}, [good, bad]),
    ('another object_id', {'object_id': '62'}, []), ('event_type', {'event_type': 'PACKAGE-CREATED', 'ordering': 'response_http_status'}, [good, bad]),
    ('another event_type', {'event_type': 'order-paid'}, []), ('created_date', {'created_date': good['created_date'], 'webhook': one}, [good]),
    ('created_date__gte', {'created_date__gte': good['created_date'], 'webhook': one}, [good]), ('created_date__gt', {'created_date__gt': good['created_date']}, []),
    ('created_date__lte', {'created_date__lte': good['created_date'], 'webhook': one}, [good]),
    ('created_date__lt', {'created_date__lt': (began - timedelta(days=1)).strftime('%Y-%m-%d')}, []),
):
    same(ids(client.hook_events(**filters)), ids(expected), f'events by {what}')
same(client.call('GET', 'hook_events/', params={'content_type': 1}).status_code, 400, 'there is no content_type to filter by')
answer = client.hook_event(good['id'])
same([answer.status_code, answer.json()['id'], answer.json()['payload']], [200, good['id'], {'id': 61, 'order_number': '248398923123'}],
     'one is retrieved, with its payload')
same(refused(client.hook_event(f'{uuid.uuid4().hex}-{one}')), [404, 'not_found', []], 'if it is there')

# --- retried ----------------------------------------------------------------------------------------------------
same(refused(client.retry(good['id'])), [406, 'not_acceptable', []], 'what was delivered is not retried')
same(refused(client.retry(bad['id'])), [406, 'not_acceptable', []], 'nor what is being retried')
retried = client.retry(bad['id'], force=True)
same([retried.status_code] + some(retried.json(), 'delivered', 'response_status'), [200, False, 500], 'unless by force; a failure is no 406')
client.change_hook(two, target_url=receiver + '/ok/mended')
retried = client.retry(bad['id'], force=True)
same([retried.status_code] + some(retried.json(), 'delivered', 'response_status', 'detail'), [200, True, 200, 'delivered'], 'and then it is delivered')
same([isinstance(retried.json()[name], kind) for name, kind in (('response_content', str), ('response_time', float))], [True, True], 'with the answer and its time')
after = client.hook_event(bad['id']).json()
same(some(after, 'delivered', 'retry_count'), [True, 3], 'the event says so')
same([len(after['request_datetimes']), after['request_datetimes'] == sorted(after['request_datetimes'])], [3, True], 'with its attempts, the latest last')
client.change_hook(three, target_url='http://127.0.0.1:1/')
publish("SELECT whisperer.deliver_event('order-paid', '{}')")
[dead] = until(lambda: [event for event in client.hook_events(webhook=three) if event['request_datetimes']])
same(some(dead, 'response_http_status', 'delivered') + [dead['error'] != ''], [None, False, True], 'who is not there has no status')

# --- the queue ---------------------------------------------------------------------------------------------------
publish("SELECT whisperer.pause()")
publish("""SELECT whisperer.deliver_event('package-created', '{"id": 62}', object_id => '62')""")
# A worker enters up to a second later what it has read.
[waiting] = until(lambda: len(waits := client.event_queue()) == 1 and waits)
same(some(waiting, 'event_type', 'object_id'), ['package-created', '62'], 'what waits is in the queue')
same([len(waiting['uuid']), datetime.fromisoformat(waiting['created_date']) > began], [32, True], 'with its id and time')
same([client.event_queue(event_type='PACKAGE-CREATED'), client.event_queue(event_type='order-paid')], [[waiting], []], 'by event_type, whatever the case')
publish("SELECT whisperer.resume()")
until(lambda: len(client.hook_events(uuid=waiting['uuid'], delivered=True)) == 2 and not client.event_queue())
same(sorted(ids(client.hook_events(uuid=waiting['uuid']))), sorted(f"{waiting['uuid']}-{hook}" for hook in (one, two)), 'then it is delivered, with that id')

# --- ended --------------------------------------------------------------------------------------------------------
ended = client.delete_hook(one)
same([ended.status_code, ended.text], [204, ''], 'a hook is deleted')
same(some(client.hook(one).json(), 'is_active', 'state'), [False, 'deleted'], 'and inactive')
same([ids(client.hooks(ordering='id')), ids(client.hooks(is_active=False)), ids(client.hooks(state='deleted'))], [[two, three], [], [one]], 'found as deleted alone')
same(client.change_hook(one, is_active=True).status_code in (404, 406), True, 'it stays deleted')
again = client.create_hook(**fields)
same([again.status_code, again.json()['id'] > three], [201, True], 'and a new one may be created in its place')
publish("""SELECT whisperer.deliver_event('package-created', '{"id": 63}')""")
until(lambda: client.hook_events(webhook=again.json()['id'], delivered=True))
same(len(client.hook_events(webhook=one)), 2, 'the deleted one gets nothing more')
