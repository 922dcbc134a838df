# A client of the library whose place whisperer takes: every call that its REST API has (0.5), with its names, as an application
# writes one with Python's requests.  seed_user.py uses it.
import requests


class Client:
    # The library says event_queues.
    QUEUE = 'event_queues'

    def __init__(self, url, token):
        self.base = url + '/whisperer/'
        self.session = requests.Session()
        self.session.headers.update({
            'Authorization': f'Token {token}',
            'Accept': 'application/json; profile=dj-whisperer',
        })

    def call(self, method, path, **more):
        return self.session.request(method, self.base + path, timeout=60, **more)

    def all(self, path, filters):
        """A list is an array; what does not fit is behind the header Link."""
        answer = self.call('GET', path, params=filters)
        rows = []
        while True:
            answer.raise_for_status()
            rows += answer.json()
            if 'next' not in answer.links:
                return rows
            answer = self.call('GET', path + answer.links['next']['url'])

    def hooks(self, **filters):
        return self.all('hooks/', filters)

    def hook(self, id):
        return self.call('GET', f'hooks/{id}/')

    def create_hook(self, **fields):
        return self.call('POST', 'hooks/', json=fields)

    def change_hook(self, id, /, **fields):
        return self.call('PATCH', f'hooks/{id}/', json=fields)

    def replace_hook(self, id, /, **fields):
        return self.call('PUT', f'hooks/{id}/', json=fields)

    def delete_hook(self, id):
        return self.call('DELETE', f'hooks/{id}/')

    def registry(self):
        return self.all('hooks/registry/', {})

    def hook_events(self, **filters):
        return self.all('hook_events/', filters)

    def hook_event(self, id):
        return self.call('GET', f'hook_events/{id}/')

    def retry(self, id, /, **force):
        return self.call('POST', f'hook_events/{id}/retry/', json=force)

    def event_queue(self, **filters):
        return self.all(f'{self.QUEUE}/', filters)
