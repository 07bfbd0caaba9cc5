"""Many requests over one session; prints the CPU seconds of this process for each of them.

WHOSE WAY THREADS REQUESTS URL FILE: WHOSE is ``bare`` or ``gatepass``, which look for proxies in
the environment, or ``bare-no-proxy`` or ``gatepass-no-proxy``, which do not. WAY is ``basic``,
``bearer`` or ``ntlm``; the profiles in FILE are named after both.
"""

import os
import sys
import time
from threading import Thread

PATH = "Health/v2.svc"


def by_hand(way, no_proxy, threads, url):
    """Return a function that makes a request, as people write it; a connection for each thread."""
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=max(threads, 10)))
    session.trust_env = not no_proxy
    user, secret = os.environ["MI_USERNAME"], os.environ["MI_PASSWORD"]
    if way == "basic":
        session.auth = (user, secret)
    elif way == "bearer":
        session.headers["Authorization"] = f"Bearer {secret}"
    else:
        from requests_ntlm import HttpNtlmAuth

        session.auth = HttpNtlmAuth(user, secret)
    address = f"{url}/{PATH}"
    return lambda: session.get(address, timeout=(10, 60)).raise_for_status()


def by_profile(name, file):
    """Return a function that makes a request with gatepass."""
    from gatepass import Session

    session = Session.from_profile(name, config_file=file)
    return lambda: session.get(PATH).raise_for_status()


def repeated(ask, threads, requests):
    """Make so many requests, shared among so many threads."""

    def some():
        for _ in range(requests // threads):
            ask()

    workers = [Thread(target=some) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main(whose, way, threads, requests, url, file):
    """Warm up, then measure."""
    threads, requests = int(threads), int(requests)
    name, _, no_proxy = whose.partition("-")
    if name == "gatepass":
        ask = by_profile(f"{way}-{no_proxy}" if no_proxy else way, file)
    else:
        ask = by_hand(way, bool(no_proxy), threads, url)
    repeated(ask, threads, 4 * threads)
    start = time.process_time()
    repeated(ask, threads, requests)
    print((time.process_time() - start) / (requests // threads * threads))


if __name__ == "__main__":
    main(*sys.argv[1:])
