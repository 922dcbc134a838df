# The two snippets with which a subscriber begins, as they stand in the documentation of the library whose
# place whisperer takes: run as they are, but for URL, token and id.  Prints the status of each answer.
#
#   python3 seed.py URL TOKEN TARGET_URL
import sys

import requests

url, token, target = sys.argv[1:]

SUBSCRIBE = """
import requests
requests.post(
url='https://your-app.com/whisperer/hooks/',
headers={
'Authorization': 'Token <secret-login-token>',
},
json={
'event_type': 'package-created',
'secret_key': 'secret',
'target_url': 'https://example.com/',
}
)
"""

CANCEL = """
import requests
requests.delete(
url='https://your-app.com/whisperer/hooks/<webhook-id>/',
headers={
'Authorization': 'Token <secret-login-token>',
}
)
"""


def run(snippet, **places):
    """Runs a snippet and gives the answer that it threw away."""
    answers = []
    send = requests.Session.request

    def keep(session, *arguments, **named):
        answers.append(send(session, *arguments, **named))
        return answers[-1]

    places.update({'https://your-app.com': url, '<secret-login-token>': token})
    for place, value in places.items():
        snippet = snippet.replace(place, value)
    requests.Session.request = keep
    try:
        exec(snippet, {})
    finally:
        requests.Session.request = send
    return answers[0]


made = run(SUBSCRIBE, **{'https://example.com/': target})
print(made.status_code, made.json()['event_type'], made.json()['target_url'])
again = run(SUBSCRIBE, **{'https://example.com/': target})
print(again.status_code, again.json()['code'])
sys.stdout.flush()
sys.stdin.readline()
ended = run(CANCEL, **{'<webhook-id>': str(made.json()['id'])})
print(ended.status_code, repr(ended.text))
